package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const metricsPage = "docs/metrics.md"

// registered returns the names of all metrics of the source, each with the
// place that registers it: the Namespace, Subsystem and Name of an Opts, the
// first argument of prometheus.NewDesc, or any name of ours in a metrics.go.
func registered(t *tree) map[string]string {
	names := map[string]string{}
	for _, f := range t.gos {
		if f.test || strings.HasPrefix(f.dir, "internal/lint") {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			name := ""
			switch n := n.(type) {
			case *ast.CompositeLit:
				if strings.HasSuffix(selected(n.Type), "Opts") {
					name = optsName(n)
				}
			case *ast.CallExpr:
				if selected(n.Fun) == "NewDesc" && len(n.Args) > 0 {
					name = text(n.Args[0])
				}
			case *ast.BasicLit:
				if s := text(n); strings.HasSuffix(f.path, "/metrics.go") && metricWord.FindString(s) == s {
					name = s
				}
			}
			if strings.HasPrefix(name, module+"_") {
				names[name] = t.at(n.Pos(), "")
			}
			return true
		})
	}
	return names
}

func selected(e ast.Expr) string {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		return sel.Sel.Name
	}
	return ""
}

func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}

func optsName(lit *ast.CompositeLit) string {
	parts := map[string]string{}
	for _, el := range lit.Elts {
		if kv, ok := el.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok {
				parts[key.Name] = text(kv.Value)
			}
		}
	}
	if parts["Name"] == "" {
		return ""
	}
	var all []string
	for _, key := range []string{"Namespace", "Subsystem", "Name"} {
		if parts[key] != "" {
			all = append(all, parts[key])
		}
	}
	return strings.Join(all, "_")
}

var (
	metricRow  = regexp.MustCompile("(?m)^\\| `(weir_[a-z0-9_]+)(?:\\{[a-z_, ]*\\})?` \\|")
	metricWord = regexp.MustCompile(`\bweir_[a-z0-9_]+\b`)
)

// metricsDocumented compares docs/metrics.md with the source, both ways, and
// what dashboards and alerts ask for with the source.
func metricsDocumented(t *tree) (out []string) {
	known := registered(t)
	var rows []string
	for _, m := range metricRow.FindAllStringSubmatch(t.text(metricsPage), -1) {
		if slices.Contains(rows, m[1]) {
			out = append(out, fmt.Sprintf("%s: %s stands there twice", metricsPage, m[1]))
		}
		rows = append(rows, m[1])
		if known[m[1]] == "" {
			out = append(out, fmt.Sprintf("%s: %s is not registered anywhere", metricsPage, m[1]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !slices.Contains(rows, name) {
			out = append(out, fmt.Sprintf("%s%s is not in %s: add a row that says what to do when it moves", known[name], name, metricsPage))
		}
	}
	for _, page := range t.with(".json", ".yml") {
		if !strings.HasPrefix(page, "deploy/") {
			continue
		}
		for _, name := range metricWord.FindAllString(t.text(page), -1) {
			base := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				base = strings.TrimSuffix(base, suffix)
			}
			if known[name] == "" && known[base] == "" {
				out = append(out, fmt.Sprintf("%s: nothing registers %s", page, name))
			}
		}
	}
	return out
}

// A graph of a metric that is gone shows a healthy zero.
func TestMetricsPageEqualsTheCode(t *testing.T) { holds(t, metricsDocumented) }

func TestTheMetricsRuleCanFail(t *testing.T) {
	const code = "package cache\nvar o = prometheus.CounterOpts{Name: \"weir_cache_hits_total\"}"
	const row = "| `weir_cache_hits_total` | counter | hits |\n"
	complains(t, metricsDocumented, "weir_cache_hits_total is not in docs/metrics.md", "cache/metrics.go", code)
	complains(t, metricsDocumented, "weir_a_bytes is not in",
		"a/metrics.go", "package a\nvar g = gauge(\"weir_a_bytes\")")
	complains(t, metricsDocumented, "weir_gone_total is not registered anywhere",
		"cache/metrics.go", code, metricsPage, row+"| `weir_gone_total{why}` | counter | - |\n")
	complains(t, metricsDocumented, "stands there twice", "cache/metrics.go", code, metricsPage, row+row)
	complains(t, metricsDocumented, "deploy/alerts.yml: nothing registers weir_x",
		"cache/metrics.go", code, metricsPage, row, "deploy/alerts.yml", "expr: weir_x > 1")
	content(t, metricsDocumented, metricsPage, row+"| `weir_a_b_seconds{class, x}` | histogram | - |\n",
		"cache/metrics.go", code, "deploy/grafana/x.json", "{\"expr\": \"rate(weir_a_b_seconds_bucket[5m])\"}",
		"a/metrics.go", "package a\nvar o = prometheus.HistogramOpts{Namespace: \"weir\", Subsystem: \"a\", Name: \"b_seconds\"}")
}
