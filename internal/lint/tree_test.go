package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

const module = "weir"

// A tree is the repository as the rules see it: Go files parsed, the others
// as names and text.
type tree struct {
	fsys fs.FS
	fset *token.FileSet
	gos  []*goFile
	all  []string // every file, slash-separated from the root
}

// A goFile is one parsed Go file.
type goFile struct {
	path, dir string
	test      bool
	syntax    *ast.File
	lines     int
}

// A rule reads the tree and returns its complaints, each "file:line: what is wrong".
type rule func(t *tree) []string

// ignored names directories that are not ours or not committed.
var ignored = map[string]bool{
	".git": true, "node_modules": true, "testdata": true, "bin": true, "dist": true,
	"coverage": true, "artefacts": true, "vendor": true,
}

func load(fsys fs.FS) (*tree, error) {
	t := &tree{fsys: fsys, fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && ignored[d.Name()]:
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		t.all = append(t.all, p)
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		src, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(t.fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		t.gos = append(t.gos, &goFile{
			path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"),
			syntax: f, lines: bytes.Count(src, []byte("\n")),
		})
		return nil
	})
	return t, err
}

// at words a complaint about a place in a Go file.
func (t *tree) at(pos token.Pos, format string, args ...any) string {
	p := t.fset.Position(pos)
	return fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

// text returns a file of the tree, or "" when it is not there.
func (t *tree) text(name string) string {
	b, err := fs.ReadFile(t.fsys, name)
	if err != nil {
		return ""
	}
	return string(b)
}

// with returns the files whose names end in one of the suffixes.
func (t *tree) with(suffixes ...string) (out []string) {
	for _, p := range t.all {
		for _, s := range suffixes {
			if strings.HasSuffix(p, s) {
				out = append(out, p)
				break
			}
		}
	}
	return out
}

var house = sync.OnceValues(func() (*tree, error) { return load(os.DirFS("../..")) })

// holds fails the test with every complaint that the rule has about this repository.
func holds(t *testing.T, r rule) {
	t.Helper()
	h, err := house()
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range r(h) {
		t.Error(complaint)
	}
}

// complains builds a small tree out of name, text, name, text... and demands
// that the rule finds fault with it in these words: the proof that it can fail.
func complains(t *testing.T, r rule, want string, files ...string) {
	t.Helper()
	got := strings.Join(r(grow(t, files...)), "\n")
	if !strings.Contains(got, want) {
		t.Errorf("the rule said %q, and should have said %q", got, want)
	}
}

// content demands that the rule has nothing against a small tree.
func content(t *testing.T, r rule, files ...string) {
	t.Helper()
	if got := r(grow(t, files...)); len(got) > 0 {
		t.Errorf("the rule complains without reason: %q", got)
	}
}

func grow(t *testing.T, files ...string) *tree {
	t.Helper()
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	tr, err := load(m)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}
