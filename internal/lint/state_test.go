package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"
)

// packageState complains of package variables that change: those that are
// assigned to outside their declaration, numbers whose address is taken, and
// types made to change (locks, atomics, channels, concurrent maps). Errors,
// patterns, tables, embedded files, pools and assertions may stay.
func packageState(t *tree) (out []string) {
	dirs := map[string][]*ast.File{}
	for _, f := range t.gos {
		if !f.test {
			dirs[f.dir] = append(dirs[f.dir], f.syntax)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		out = append(out, stateOf(t, dir, dirs[dir])...)
	}
	return out
}

// noImports lets the type checker run without any other package: what it then
// cannot know it leaves out, and who means which name it still knows.
type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, path[strings.LastIndex(path, "/")+1:])
	p.MarkComplete()
	return p, nil
}

func stateOf(t *tree, dir string, files []*ast.File) (out []string) {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: noImports{}, Error: func(error) {}}
	pkg, _ := conf.Check(dir, t.fset, files, info)

	global := func(e ast.Expr) *ast.Ident {
		id := root(e)
		if id == nil {
			return nil
		}
		if v, ok := info.Uses[id].(*types.Var); ok && v.Parent() == pkg.Scope() {
			return id
		}
		return nil
	}
	blame := func(e ast.Expr, how string) {
		if id := global(e); id != nil {
			out = append(out, t.at(e.Pos(), "package variable %s %s: hold it in a struct that New returns", id.Name, how))
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				out = append(out, changeful(t, g)...)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, l := range n.Lhs {
						blame(l, "is assigned to")
					}
				}
			case *ast.IncDecStmt:
				blame(n.X, "is counted")
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					// Shared read-only structs are passed by address; a number is only to be changed.
					if id := global(n.X); id != nil {
						if b, ok := info.Uses[id].Type().Underlying().(*types.Basic); ok && b.Kind() != types.Invalid {
							blame(n.X, "has its address taken")
						}
					}
				}
			case *ast.CallExpr:
				if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear") && len(n.Args) > 0 {
					blame(n.Args[0], "is emptied")
				}
			}
			return true
		})
	}
	return out
}

// root returns the x of x, x[i], x.f, *x and (x).
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// changeful complains of variables whose type says that they change.
func changeful(t *tree, g *ast.GenDecl) (out []string) {
	for _, s := range g.Specs {
		v := s.(*ast.ValueSpec)
		kinds := []ast.Expr{v.Type}
		for _, val := range v.Values {
			switch val := val.(type) {
			case *ast.CompositeLit:
				kinds = append(kinds, val.Type)
			case *ast.UnaryExpr:
				if lit, ok := val.X.(*ast.CompositeLit); ok {
					kinds = append(kinds, lit.Type)
				}
			case *ast.CallExpr:
				if fn, ok := val.Fun.(*ast.Ident); ok && (fn.Name == "make" || fn.Name == "new") {
					kinds = append(kinds, val.Args[0])
				}
			}
		}
		for _, k := range kinds {
			if name := typeName(k); name != "" {
				out = append(out, t.at(v.Pos(), "package variable %s is a %s: hold it in a struct that New returns", v.Names[0].Name, name))
			}
		}
	}
	return out
}

func typeName(e ast.Expr) string {
	if _, ok := e.(*ast.ChanType); ok {
		return "channel"
	}
	if ix, ok := e.(*ast.IndexExpr); ok {
		e = ix.X
	}
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	name := x.Name + "." + sel.Sel.Name
	switch name {
	case "sync.Mutex", "sync.RWMutex", "sync.Map", "sync.WaitGroup", "sync.Once", "sync.Cond":
		return name
	}
	if x.Name == "atomic" || x.Name == "prometheus" {
		return name
	}
	return ""
}

// Two nodes live in one test process: what one changes, the other must not see.
func TestNoPackageVariableChanges(t *testing.T) { holds(t, packageState) }

func TestThePackageStateRuleCanFail(t *testing.T) {
	f := func(want, body string) {
		t.Helper()
		complains(t, packageState, want, "cache/x.go", "package cache\n"+body)
	}
	f("n is assigned to", "var n int\nfunc f() { n = 1 }")
	f("m is assigned to", "var m = map[int]int{}\nfunc f() { m[1] = 1 }")
	f("s is assigned to", "var s struct{ f int }\nfunc f() { s.f = 1 }")
	f("n is counted", "var n int\nfunc f() { n++ }")
	f("n has its address taken", "var n int\nfunc f() { g(&n) }\nfunc g(*int) {}")
	f("m is emptied", "var m = map[int]int{}\nfunc f() { delete(m, 1) }")
	f("is a sync.Mutex", "import \"sync\"\nvar mu sync.Mutex")
	f("is a atomic.Pointer", "import \"sync/atomic\"\nvar p atomic.Pointer[int]")
	f("is a channel", "var c = make(chan int)")

	complains(t, packageState, "n is assigned to", // seen across files
		"cache/x.go", "package cache\nvar n int", "cache/y.go", "package cache\nfunc f() { n = 1 }")
	content(t, packageState, "cache/x.go", `package cache
import ("errors"; "regexp"; "sync")
var ErrX = errors.New("x")
var re = regexp.MustCompile("x")
var table = map[string]int{"a": 1}
var pool = sync.Pool{New: func() any { return 1 }}
var _ interface{} = (*int)(nil)
var n = 1
var shared struct{ f int }
func f() { n := n; n = 2; _ = n; _ = &shared }
`)
}
