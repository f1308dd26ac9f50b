package lint

import (
	"go/ast"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// maxLines bounds a file: past it there is a second idea inside.
const maxLines = 500

func fileSizes(t *tree) (out []string) {
	for _, f := range t.gos {
		if f.lines > maxLines {
			out = append(out, t.at(f.syntax.Package, "%d lines: split the file, %d is the most", f.lines, maxLines))
		}
	}
	return out
}

func packageComments(t *tree) (out []string) {
	type pkg struct {
		first    *goFile
		comments int
	}
	pkgs := map[string]*pkg{}
	var order []string
	for _, f := range t.gos {
		if f.test {
			continue
		}
		p := pkgs[f.dir]
		if p == nil {
			p = &pkg{first: f}
			pkgs[f.dir], order = p, append(order, f.dir)
		}
		if f.syntax.Doc == nil {
			continue
		}
		p.comments++
		text := f.syntax.Doc.Text()
		want := "Package " + f.syntax.Name.Name + " "
		if f.syntax.Name.Name == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(text, want) {
			out = append(out, t.at(f.syntax.Package, "the package comment begins %q", want))
		}
	}
	for _, dir := range order {
		if p := pkgs[dir]; p.comments != 1 {
			out = append(out, t.at(p.first.syntax.Package, "package %s has %d package comments: one file holds the one", dir, p.comments))
		}
	}
	return out
}

func noInit(t *tree) (out []string) {
	for _, f := range t.gos {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				out = append(out, t.at(fn.Pos(), "no init(): New(Options) builds, and says so"))
			}
		}
	}
	return out
}

// skips lists the files that may skip a test, each with what the machine lacks.
// A skip anywhere else hides a test.
var skips = map[string]string{
	"bench/e2e/main_test.go":           "a program that make deps installs; in CI its lack is a failure",
	"bench/e2e/compose_engine_test.go": "no container engine, or one that cannot run a container",
	"bench/e2e/cachetests_test.go":     "the cache tests of the web, an npm package",
}

func noSilentSkips(t *tree) (out []string) {
	for _, f := range t.gos {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if ok && sel.Sel.Name == "Fuzz" {
				return false // within, a skip passes over one input
			}
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); !ok || !slices.Contains([]string{"t", "b", "f", "tb", "rt"}, x.Name) {
				return true
			}
			switch {
			case len(call.Args) == 0:
				out = append(out, t.at(call.Pos(), "a skip says why"))
			case skips[f.path] == "":
				out = append(out, t.at(call.Pos(), "a skip that internal/lint does not know: what does the machine lack?"))
			}
			return true
		})
	}
	return out
}

// sockets are the calls that open, or stand for, a connection.
var sockets = map[string][]string{
	"net": {"Listen", "ListenTCP", "ListenUDP", "ListenPacket", "ListenUnix", "Dial", "DialTCP", "DialTimeout", "Dialer", "ListenConfig"},
	"net/http": {"Client", "Server", "Transport", "Get", "Post", "Head", "ListenAndServe", "Serve",
		"DefaultClient", "DefaultTransport", "DefaultServeMux", "Handle", "HandleFunc"},
}

func socketsAtTheRim(t *tree) (out []string) {
	for _, f := range t.gos {
		if f.test || slices.Contains([]string{"internal/wire", "internal/wire/wiretest", "edge/cluster"}, f.dir) ||
			strings.HasPrefix(f.dir, "cmd/") || strings.HasPrefix(f.dir, "bench") {
			continue
		}
		names := map[string][]string{} // by the local name of the import
		for _, imp := range f.syntax.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			if list, ok := sockets[p]; ok {
				local := p[strings.LastIndex(p, "/")+1:]
				if imp.Name != nil {
					local = imp.Name.Name
				}
				names[local] = list
			}
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(names[x.Name], sel.Sel.Name) {
				out = append(out, t.at(n.Pos(), "%s.%s: sockets live at the rim, in internal/wire, edge/cluster and cmd", x.Name, sel.Sel.Name))
			}
			return true
		})
	}
	return out
}

func noTodo(t *tree) (out []string) {
	for _, f := range t.gos {
		for _, g := range f.syntax.Comments {
			for _, c := range g.List {
				for _, word := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X:"} {
					if strings.Contains(c.Text, word) {
						out = append(out, t.at(c.Pos(), "%s: do it, or open an issue", word))
					}
				}
			}
		}
	}
	return out
}

// A newcomer reads one idea a file.
func TestFilesAreShort(t *testing.T) { holds(t, fileSizes) }

// go doc is the map of the house; two sentences for one room confuse.
func TestEachPackageHasOneComment(t *testing.T) { holds(t, packageComments) }

// What init does happens before anybody can say how.
func TestNothingHappensInInit(t *testing.T) { holds(t, noInit) }

// A skipped test looks like a passed one in the last line of a build.
func TestSkipsAreKnown(t *testing.T) { holds(t, noSilentSkips) }

// A whole cluster runs in one test under a fake clock only while sockets stay at the rim.
func TestSocketsStayAtTheRim(t *testing.T) { holds(t, socketsAtTheRim) }

// What is left for later stands in an issue, not in the code.
func TestNothingIsLeftForLater(t *testing.T) { holds(t, noTodo) }

func TestTheCodeRulesCanFail(t *testing.T) {
	complains(t, fileSizes, "split the file", "cache/x.go", "package cache\n"+strings.Repeat("\n", maxLines))
	complains(t, packageComments, "0 package comments", "cache/x.go", "package cache")
	complains(t, packageComments, "2 package comments",
		"cache/x.go", "// Package cache x.\npackage cache", "cache/y.go", "// Package cache y.\npackage cache")
	complains(t, packageComments, "begins \"Package cache \"", "cache/x.go", "// This caches.\npackage cache")
	complains(t, noInit, "no init()", "cache/x.go", "package cache\nfunc init() {}")
	complains(t, noSilentSkips, "says why", "cache/x_test.go", "package cache\nfunc f() { t.SkipNow() }")
	complains(t, noSilentSkips, "does not know", "cache/x_test.go", "package cache\nfunc f() { t.Skip(`slow`) }")
	complains(t, socketsAtTheRim, "http.Get", "edge/x.go", "package edge\nimport \"net/http\"\nvar x = http.Get")
	complains(t, socketsAtTheRim, "n.Dial", "edge/x.go", "package edge\nimport n \"net\"\nvar x = n.Dial")
	complains(t, noTodo, "open an issue", "edge/x.go", "package edge\n// TO"+"DO: later")
	content(t, noSilentSkips, "cache/x_test.go", "package cache\nfunc g() { f.Fuzz(func(t *testing.T) { t.Skip(`long`) }) }")
	content(t, noInit, "cache/x.go", "package cache\ntype c int\nfunc (c) init() {}")
	content(t, socketsAtTheRim,
		"edge/x.go", "package edge\nimport \"net/http\"\nvar x = http.StatusOK",
		"cmd/weir/x.go", "package main\nimport \"net\"\nvar x = net.Listen")
}
