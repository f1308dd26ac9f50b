package config

import (
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Flag is a key said on the command line. It wins over the file.
type Flag struct {
	Name   string   // as it was typed, e.g. "--listen"
	Key    string   // the key it stands for, e.g. "listen"
	Values []string // one, or the items of a list
}

// LoadOrigin reads an origin's config: the defaults, the file (none if ""), the
// flags, and every file these name. A returned error is Problems if the
// content is wrong. The warnings are worth telling either way.
func LoadOrigin(file string, flags ...Flag) (*Origin, Problems, error) {
	c := DefaultOrigin()
	s, err := load(file, c, flags)
	if err != nil {
		return nil, nil, err
	}
	c.source = s
	c.readFiles(s)
	c.check(s)
	return c, s.warn, s.err()
}

// LoadEdge is LoadOrigin for an edge.
func LoadEdge(file string, flags ...Flag) (*Edge, Problems, error) {
	c := DefaultEdge()
	s, err := load(file, c, flags)
	if err != nil {
		return nil, nil, err
	}
	c.source = s
	c.readFiles(s)
	c.check(s)
	return c, s.warn, s.err()
}

func load(file string, into any, flags []Flag) (*source, error) {
	s := newSource(file)
	s.root = reflect.TypeOf(into).Elem()
	if file != "" {
		text, err := readConfig(file)
		if err != nil {
			return nil, err
		}
		s.dir = filepath.Dir(file)
		decode(text, into, s)
		if s.broken {
			return nil, s.err() // what else may be wrong cannot be told
		}
	}
	s.dir = ""
	for _, f := range flags {
		s.flag(f, reflect.ValueOf(into).Elem())
	}
	return s, nil
}

func readConfig(file string) ([]byte, error) {
	s := newSource(file)
	text, ok := s.readFile("", file, false)
	if !ok {
		return nil, Problems{{Text: s.bad[0].Text}}
	}
	return text, nil
}

// flag sets the key that f stands for, by the same rules as in the file.
func (s *source) flag(f Flag, v reflect.Value) {
	tag := reflect.StructTag("")
	for name := range strings.SplitSeq(f.Key, ".") {
		field, ok := fieldOf(v.Type(), name)
		if !ok {
			panic("BUG: config: flag " + f.Name + " for unknown key " + f.Key)
		}
		v, tag = v.FieldByIndex(field.Index), field.Tag
	}
	s.flags[f.Key] = f.Name
	maps.DeleteFunc(s.lines, func(key string, _ int) bool { return key == f.Key || strings.HasPrefix(key, f.Key+"[") })
	fail := func(err error) { s.bad = append(s.bad, Problem{File: f.Name, Text: err.Error()}) }
	switch {
	case v.Type() == reflect.TypeFor[[]TokenKey]():
		keys, err := tokenKeysOf(f.Values)
		if err != nil {
			fail(err)
		}
		v.Set(reflect.ValueOf(keys))
	case v.Kind() == reflect.Slice:
		out := reflect.MakeSlice(v.Type(), len(f.Values), len(f.Values))
		for i, text := range f.Values {
			if err := s.set(out.Index(i), text, tag); err != nil {
				fail(err)
			}
		}
		v.Set(out)
	default:
		if err := s.set(v, f.Values[0], tag); err != nil {
			fail(err)
		}
	}
}

// tokenKeysOf makes keys of file names: the file's name is the key's id, and
// its content says the algorithm.
func tokenKeysOf(files []string) ([]TokenKey, error) {
	var keys []TokenKey
	for _, file := range files {
		id := KeyID(file)
		if err := checkName(id); err != nil {
			return keys, errorf("the file's name is the key's id: %w", err)
		}
		keys = append(keys, TokenKey{ID: id, File: file})
	}
	return keys, nil
}

// The kinds of config file.
const (
	KindOrigin = "origin"
	KindEdge   = "edge"
)

// Detect says whether a file is an origin's or an edge's, by the keys that only
// one of them has. It returns "" where that leaves a doubt.
func Detect(file string) (string, error) {
	text, err := readConfig(file)
	if err != nil {
		return "", err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		s := newSource(file)
		s.syntax(text, err)
		return "", s.err()
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return "", nil
	}
	names := append(keysOf(reflect.TypeFor[Origin]()), keysOf(reflect.TypeFor[Edge]())...)
	origin, edge := 0, 0
	for i := 0; i < len(doc.Content[0].Content); i += 2 {
		name := doc.Content[0].Content[i].Value
		if !slices.Contains(names, name) {
			name = nearest(name, names) // mistyped: what is wrong with it is told later
		}
		switch kindOf(name) {
		case KindOrigin:
			origin++
		case KindEdge:
			edge++
		}
	}
	switch {
	case origin > edge:
		return KindOrigin, nil
	case edge > origin:
		return KindEdge, nil
	}
	return "", nil
}

// kindOf says whose config alone has this key at its top; "": both have, or none.
func kindOf(name string) string {
	_, o := fieldOf(reflect.TypeFor[Origin](), name)
	_, e := fieldOf(reflect.TypeFor[Edge](), name)
	switch {
	case o && !e:
		return KindOrigin
	case e && !o:
		return KindEdge
	}
	return ""
}
