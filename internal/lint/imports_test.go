package lint

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is the import table of docs/DESIGN.md, "The house": which packages
// of ours each package may import. Tests may import any but cmd.
var mayImport = map[string][]string{
	"internal/web":           {},
	"internal/spool":         {"internal/web"},
	"internal/cmaf":          {},
	"internal/mpegts":        {"internal/cmaf"},
	"internal/wire":          {"internal/web", "internal/spool"},
	"internal/wire/wiretest": {"internal/web", "internal/spool"},
	"internal/limit":         {"internal/web"},
	"internal/disk":          {},
	"internal/disk/disktest": {"internal/disk"},
	"internal/seglog":        {"internal/disk"},
	"internal/lint":          {},
	"playlist":               {},
	"token":                  {},
	"cache":                  {"internal/web", "internal/spool"},
	"origin":                 {"internal/web", "internal/spool", "internal/cmaf", "internal/mpegts", "internal/disk", "internal/seglog", "playlist", "token"},
	"origin/folder":          {"internal/web", "playlist"},
	"edge/schedule":          {},
	"edge":                   {"internal/web", "internal/limit", "cache", "playlist", "token", "edge/schedule"},
	"edge/cluster":           {"internal/web"},
}

// The packages of the roof import what stands below them.
var (
	below = []string{
		"internal/web", "internal/spool", "internal/cmaf", "internal/mpegts", "internal/wire", "internal/limit",
		"internal/disk", "internal/disk/disktest", "internal/seglog",
		"playlist", "token", "cache", "origin", "origin/folder", "edge", "edge/schedule", "edge/cluster",
	}
	benches = append([]string{"bench", "bench/sim"}, below...)
)

// allowed returns what a package of ours may import of ours; false when the
// table does not know the package.
func allowed(dir string) ([]string, bool) {
	switch {
	case dir == "bench" || strings.HasPrefix(dir, "bench/"):
		return benches, true
	case strings.HasPrefix(dir, "cmd/"):
		return nil, true // everything below, and one another
	}
	list, ok := mayImport[dir]
	return list, ok
}

func importTable(t *tree) (out []string) {
	for _, f := range t.gos {
		list, known := allowed(f.dir)
		if !known {
			out = append(out, t.at(f.syntax.Package,
				"package %s is not in the import table: add it to internal/lint and docs/DESIGN.md", f.dir))
			continue
		}
		for _, imp := range f.syntax.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			target, ours := strings.CutPrefix(p, module+"/")
			switch {
			case !ours || strings.HasPrefix(f.dir, "cmd/"):
			case strings.HasPrefix(target, "cmd/") && f.dir == "bench/e2e": // looks at the whole from outside
			case strings.HasPrefix(target, "cmd/"):
				out = append(out, t.at(imp.Pos(), "%s imports %s: cmd is the roof, nothing stands on it", f.dir, target))
			case !f.test && !slices.Contains(list, target):
				out = append(out, t.at(imp.Pos(), "%s must not import %s: no arrow points up the house", f.dir, target))
			}
		}
	}
	return out
}

// A fence keeps a module of somebody else in the places that may know it: a
// directory, a directory with all below it ("cmd/..."), or one file.
type fence struct {
	path   string
	places []string
	tests  bool // tests may use it as an oracle or a client
}

var fences = []fence{
	{path: "github.com/valyala/fasthttp", places: []string{"internal/wire", "internal/wire/wiretest"}},
	{path: "github.com/hashicorp/memberlist", places: []string{"edge/cluster", "bench/sim"}}, // sim: its network in memory
	{path: "github.com/dgraph-io/ristretto/v2", places: []string{"cache/memory.go"}},
	{path: "github.com/grafov/m3u8", places: []string{"playlist/parse.go"}},
	{path: "github.com/golang-jwt/jwt/v5", places: []string{"token"}, tests: true},
	{path: "github.com/Eyevinn/mp4ff", places: []string{"internal/cmaf"}, tests: true},
	{path: "github.com/asticode/go-astits", places: []string{"internal/mpegts"}, tests: true},
	{path: "github.com/bluenviron/gohlslib/v2", tests: true},
	{path: "github.com/chromedp/chromedp", tests: true},
	{path: "github.com/google/go-cmp", tests: true},
	{path: "go.uber.org/goleak", tests: true},
	{path: "golang.org/x/net", tests: true}, // HTTP/2 frame by frame
	{path: "pgregory.net/rapid", tests: true},
	{path: "github.com/alecthomas/kong", places: []string{"cmd/..."}},
	{path: "github.com/mattn/go-isatty", places: []string{"cmd/..."}},
	{path: "github.com/fsnotify/fsnotify", places: []string{"origin/folder"}},
	{path: "go.yaml.in/yaml/v3", places: []string{"cmd/..."}, tests: true},
	{path: "os/signal", places: []string{"cmd/..."}, tests: true},
	{path: "os/exec", places: []string{"cmd/...", "bench/..."}, tests: true},
}

func (fe fence) admits(f *goFile) bool {
	if f.test && fe.tests {
		return true
	}
	for _, p := range fe.places {
		under, all := strings.CutSuffix(p, "/...")
		if p == f.dir || p == f.path || all && strings.HasPrefix(f.dir+"/", under+"/") {
			return true
		}
	}
	return false
}

func thirdParties(t *tree) (out []string) {
	for _, f := range t.gos {
		for _, imp := range f.syntax.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			for _, fe := range fences {
				if (p == fe.path || strings.HasPrefix(p, fe.path+"/")) && !fe.admits(f) {
					out = append(out, t.at(imp.Pos(), "%s lives behind a fence: only %s may import it",
						p, strings.Join(append(fe.places, "(tests: "+strconv.FormatBool(fe.tests)+")"), ", ")))
				}
			}
			if strings.HasSuffix(p, "/promauto") && !strings.HasSuffix(f.path, "/metrics.go") && !f.test {
				out = append(out, t.at(imp.Pos(), "metrics are made in the package's metrics.go, and nowhere else"))
			}
		}
	}
	return out
}

// An arrow up the house is how a clean tree begins to tangle.
func TestNoImportPointsUpTheHouse(t *testing.T) { holds(t, importTable) }

// A library that only one file knows can be replaced in one day.
func TestThirdPartiesStayBehindTheirFences(t *testing.T) { holds(t, thirdParties) }

func TestTheImportTableCanFail(t *testing.T) {
	complains(t, importTable, "cache must not import edge", "cache/x.go", "package cache\nimport _ \"weir/edge\"")
	complains(t, importTable, "cmd is the roof", "edge/x_test.go", "package edge\nimport _ \"weir/cmd/weir/node\"")
	complains(t, importTable, "not in the import table", "util/x.go", "package util")
	content(t, importTable,
		"edge/x.go", "package edge\nimport _ \"weir/cache\"",
		"edge/x_test.go", "package edge\nimport _ \"weir/origin\"",
		"cmd/weir/main.go", "package main\nimport _ \"weir/cmd/weir/node\"")
}

func TestTheFencesCanFail(t *testing.T) {
	complains(t, thirdParties, "behind a fence", "edge/x.go", "package edge\nimport _ \"github.com/valyala/fasthttp\"")
	complains(t, thirdParties, "behind a fence", "cache/x.go", "package cache\nimport _ \"github.com/dgraph-io/ristretto/v2/z\"")
	complains(t, thirdParties, "behind a fence", "token/x.go", "package token\nimport _ \"pgregory.net/rapid\"")
	complains(t, thirdParties, "metrics.go", "edge/edge.go", "package edge\nimport _ \"github.com/prometheus/client_golang/prometheus/promauto\"")
	content(t, thirdParties,
		"cache/memory.go", "package cache\nimport _ \"github.com/dgraph-io/ristretto/v2\"",
		"cmd/weir/main.go", "package main\nimport _ \"os/signal\"",
		"token/x_test.go", "package token\nimport _ \"pgregory.net/rapid\"")
}
