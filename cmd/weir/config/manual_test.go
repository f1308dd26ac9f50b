package config

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
)

var commentedKey = regexp.MustCompile(`(?m)^(\s*)#(\S)`)

// The files in deploy are what operators read at night. Each must hold every
// key there is, no other, and the default that the code has.
func TestManualsAreTheCode(t *testing.T) {
	origin, edge := DefaultOrigin(), DefaultEdge()
	checkManual(t, "../../../deploy/origin.yaml", &Origin{}, origin)
	edge.Origins = []string{"http://127.0.0.1:8080"} // required: the manual shows an example
	checkManual(t, "../../../deploy/edge.yaml", &Edge{}, edge)
}

func checkManual(t *testing.T, file string, empty, want any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := empty
	s := newSource(file)
	s.root = reflect.TypeOf(want).Elem()
	decode(text, got, s)
	if s.err() != nil {
		t.Errorf("as it is:\n%v", s.err())
	}
	ignore := cmp.Options{cmpopts.IgnoreUnexported(Origin{}, Edge{}), cmpopts.EquateEmpty()}
	if d := cmp.Diff(want, got, ignore); d != "" {
		t.Errorf("%s differs from the defaults in the code (-code +manual):\n%s", file, d)
	}

	all := commentedKey.ReplaceAll(text, []byte("$1$2"))
	s = newSource(file)
	s.root = reflect.TypeOf(want).Elem()
	decode(all, reflect.New(s.root).Interface(), s)
	if s.err() != nil {
		t.Errorf("with all keys taken out of their comments:\n%v", s.err())
	}
	given := map[string]bool{}
	for key := range s.lines {
		key = regexp.MustCompile(`\[\d+\]`).ReplaceAllString(key, "[]")
		given[strings.Replace(key, "channels.news.", "channels.NAME.", 1)] = true
	}
	for _, key := range Keys(s.root) {
		if !given[key] && !strings.HasPrefix(key, "channels.NAME.") {
			t.Errorf("%s lacks the key %s", file, key)
		}
	}
	if i := bytes.IndexByte(text, '\t'); i >= 0 {
		t.Errorf("%s has a tab at byte %d", file, i)
	}
}

// The manual's mark "(live)" is what tells an operator whether a reload will
// do: it must stand where the code has it.
func TestManualsMarkLiveKeys(t *testing.T) {
	for file, c := range map[string]any{"../../../deploy/origin.yaml": Origin{}, "../../../deploy/edge.yaml": Edge{}} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(commentedKey.ReplaceAll(text, []byte("$1$2")), &doc); err != nil {
			t.Fatal(err)
		}
		marked := marks(doc.Content[0], "", false)
		for _, key := range liveKeys(reflect.TypeOf(c), "") {
			if !slices.Contains(marked, key) && key != "ingest.keys_file" { // said in words
				t.Errorf("%s: %s is live and not marked", file, key)
			}
		}
		for _, key := range marked {
			if !slices.Contains(liveKeys(reflect.TypeOf(c), ""), key) {
				t.Errorf("%s: %s is marked live and is not", file, key)
			}
		}
	}
}

func marks(m *yaml.Node, key string, live bool) (out []string) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		full := join(key, m.Content[i].Value)
		live := live || strings.Contains(m.Content[i].HeadComment, "live)")
		if v := m.Content[i+1]; v.Kind == yaml.MappingNode && v.Style&yaml.FlowStyle == 0 { // {} is a value: Fields
			out = append(out, marks(m.Content[i+1], full, live)...)
		} else if live {
			out = append(out, full)
		}
	}
	return out
}

func liveKeys(t reflect.Type, key string) (out []string) {
	for f := range fields(t) {
		full := join(key, f.Tag.Get("yaml"))
		switch {
		case f.Type.Kind() == reflect.Struct && hasKeys(f.Type):
			out = append(out, liveKeys(f.Type, full)...)
		case f.Tag.Get("live") == "true":
			out = append(out, full)
		}
	}
	return out
}

// The configs of docker-compose.yml keep up with the keys; their key files are
// made on the machine that runs them.
func TestComposeConfigsAreValid(t *testing.T) {
	for file, c := range map[string]any{"origin.yaml": DefaultOrigin(), "edge.yaml": DefaultEdge()} {
		text, err := os.ReadFile("../../../deploy/compose/" + file)
		if err != nil {
			t.Fatal(err)
		}
		s := newSource(file)
		s.root = reflect.TypeOf(c).Elem()
		decode(text, c, s)
		switch c := c.(type) {
		case *Origin:
			c.check(s)
		case *Edge:
			c.check(s)
		}
		if s.err() != nil || len(s.warn) > 0 {
			t.Errorf("%v %v", s.err(), s.warn)
		}
	}
}
