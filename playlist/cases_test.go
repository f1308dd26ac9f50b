package playlist

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what the cases of testdata render")

// testCase is a file of testdata: a comment, a text in, and either what is rendered of it or
// a piece of the error.
type testCase struct {
	file, comment, kind string
	in                  []byte
	fails               bool
	want                string
}

func readCases(t testing.TB) []testCase {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	var cases []testCase
	for _, f := range files {
		p, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		comment, rest, ok1 := strings.Cut(string(p), "\n---- ")
		kind, rest, ok2 := strings.Cut(rest, "\n")
		c := testCase{file: f, comment: comment, kind: kind}
		in, want, ok3 := strings.Cut("\n"+rest, "\n---- renders\n")
		if !ok3 {
			in, want, ok3 = strings.Cut("\n"+rest, "\n---- fails\n")
			c.fails = true
		}
		if !ok1 || !ok2 || !ok3 || kind != KindMedia && kind != KindMultivariant {
			t.Fatalf("%s: not a case", f)
		}
		if in != "" {
			in = in[1:] + "\n"
		}
		c.in, c.want = []byte(in), want
		cases = append(cases, c)
	}
	return cases
}

// renderer is what both kinds of playlist do.
type renderer interface{ Append([]byte) []byte }

func parse(kind string, p []byte) (renderer, error) {
	if kind == KindMedia {
		m, err := ParseMedia(p)
		return m, err
	}
	m, err := ParseMultivariant(p)
	return m, err
}

// Each case is a stream that a viewer could or could not have watched.
func TestWhatComesInIsRenderedAsTheCasesSay(t *testing.T) {
	for _, c := range readCases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(c.file), ".txt"), func(t *testing.T) {
			m, err := parse(c.kind, c.in)
			if c.fails {
				if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(c.want)) {
					t.Errorf("error %v, want one with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := m.Append(nil)
			if *update {
				text := c.comment + "\n---- " + c.kind + "\n" + string(c.in) + "---- renders\n" + string(got)
				if err := os.WriteFile(c.file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if string(got) != c.want {
				t.Errorf("rendered\n%s\nwant\n%s", got, c.want)
			}
			checkStable(t, c.kind, m, got)
			if k := Kind(c.in); k != c.kind {
				t.Errorf("Kind says %q, want %q", k, c.kind)
			}
		})
	}
}

// What is rendered parses, to the same model, and renders to the same bytes: an edge that
// reads our playlists knows exactly what the origin knew.
func checkStable(t testing.TB, kind string, m renderer, text []byte) {
	t.Helper()
	again, err := parse(kind, text)
	if err != nil {
		t.Fatalf("what was rendered does not parse: %v\n%s", err, text)
	}
	if diff := diffModels(m, again); diff != "" {
		t.Fatalf("rendered and parsed, it differs (- before, + after):\n%s\n%s", diff, text)
	}
	if second := again.Append(nil); !bytes.Equal(text, second) {
		t.Fatalf("rendered once\n%s\nrendered twice\n%s", text, second)
	}
}
