package config

import (
	"errors"
	"io"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxBytes bounds a config file and every file it names.
const maxBytes = 1 << 20

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	fieldsType   = reflect.TypeFor[Fields]()
)

// decode reads YAML into the struct that into points to. What is wrong goes to
// s; what is right is set, so that everything wrong is found in one pass.
func decode(text []byte, into any, s *source) {
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) { // an empty file says nothing
			s.syntax(text, err)
		}
		return
	}
	var more yaml.Node
	if err := d.Decode(&more); err == nil {
		s.badAt(more.Line, "", "a second YAML document: a config is one, delete the line ---")
	} else if !errors.Is(err, io.EOF) {
		s.syntax(text, err)
	}
	if len(doc.Content) == 1 {
		s.value(doc.Content[0], reflect.ValueOf(into).Elem(), "", "")
	}
}

var (
	yamlLine   = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	yamlParser = regexp.MustCompile(`^did not find expected (node content|',' or|'-' indicator|key|<)`)
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
)

// syntax tells of a text that is not YAML, with the parser's line put right:
// of errors of structure it counts from 0, and of unknown anchors not at all.
func (s *source) syntax(text []byte, err error) {
	msg := err.Error()
	m := yamlLine.FindStringSubmatch(msg)
	line := 0
	if m != nil {
		line, _ = strconv.Atoi(m[1])
		msg = msg[len(m[0]):]
	}
	if yamlParser.MatchString(msg) {
		line++
	}
	if m := yamlAnchor.FindStringSubmatch(msg); m != nil {
		before, _, _ := strings.Cut(string(text), "*"+m[1])
		line = 1 + strings.Count(before, "\n")
	}
	s.broken = true
	s.badAt(max(line, 1), "", `not YAML: %s (indent by spaces; quote values that hold ": " or " #" and, within {} and [], values that begin with ":")`, msg)
}

// value sets v to what n says. The key is n's full dotted name.
func (s *source) value(n *yaml.Node, v reflect.Value, key string, tag reflect.StructTag) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias // the parser refuses an alias within its own anchor
	}
	t := v.Type()
	empty := n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
	switch {
	case t == fieldsType && !empty:
		s.headerFields(n, v, key)
	case t == fieldsType: // every line below it is commented out
	case leaf(t):
		s.scalar(n, v, key, tag)
	case empty: // "tokens:" with every line below it commented out
	case t.Kind() == reflect.Struct:
		s.mapping(n, v, key)
	case t.Kind() == reflect.Slice:
		s.sequence(n, v, key, tag)
	default:
		panic("BUG: config: no decoder for " + t.String())
	}
}

// leaf reports whether values of type t are YAML scalars.
func leaf(t reflect.Type) bool {
	return t == prefixType || t == fieldsType || t.Kind() != reflect.Struct && t.Kind() != reflect.Slice && t.Kind() != reflect.Map
}

func (s *source) mapping(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.MappingNode {
		s.badAt(n.Line, key, "must be a mapping of keys: allowed are %s", strings.Join(keysOf(v.Type()), ", "))
		return
	}
	first := map[string]int{}
	var named []*yaml.Node // pairs whose key the operator chose: they inherit, so they come last
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			s.badAt(k.Line, key, "a key must be a plain word")
			continue
		}
		full := join(key, k.Value)
		if line, twice := first[k.Value]; twice {
			s.badAt(k.Line, full, "given twice, first on line %d: delete one", line)
			continue
		}
		first[k.Value] = k.Line
		f, ok := fieldOf(v.Type(), k.Value)
		if !ok {
			if _, inline := inlineOf(v.Type()); inline {
				named = append(named, k, val)
			} else {
				s.unknown(k, key, v.Type())
			}
			continue
		}
		s.lines[full] = k.Line
		s.value(val, v.FieldByIndex(f.Index), full, f.Tag)
	}
	for i := 0; i < len(named); i += 2 {
		s.named(named[i], named[i+1], v, key)
	}
}

var channelName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
var renditionName = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}$`)

// named decodes an entry of an inline map: it starts as a copy of the
// defaults beside it and changes what it says.
func (s *source) named(k, val *yaml.Node, v reflect.Value, key string) {
	full := join(key, k.Value)
	if !channelName.MatchString(k.Value) {
		s.badAt(k.Line, full, "%q is no channel name: allowed are 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit", k.Value)
		return
	}
	s.lines[full] = k.Line
	f, _ := inlineOf(v.Type())
	m := v.FieldByIndex(f.Index)
	if m.IsNil() {
		m.Set(reflect.MakeMap(m.Type()))
	}
	entry := reflect.New(m.Type().Elem()).Elem()
	if def := v.FieldByName("Defaults"); def.IsValid() {
		entry.Set(def)
	}
	s.value(val, entry, full, "")
	m.SetMapIndex(reflect.ValueOf(k.Value), entry)
}

func (s *source) sequence(n *yaml.Node, v reflect.Value, key string, tag reflect.StructTag) {
	if n.Kind != yaml.SequenceNode {
		s.badAt(n.Line, key, "must be a list, as in [a, b]")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := key + "[" + strconv.Itoa(i) + "]"
		s.lines[at] = item.Line
		s.value(item, out.Index(i), at, tag)
	}
	v.Set(out)
}

func (s *source) scalar(n *yaml.Node, v reflect.Value, key string, tag reflect.StructTag) {
	if n.Kind != yaml.ScalarNode {
		s.badAt(n.Line, key, "must be a single value, %s", wanted(v.Type(), tag))
		return
	}
	if n.ShortTag() == "!!null" && n.Style == 0 {
		s.badAt(n.Line, key, "has no value: give %s, or delete the line for the default", wanted(v.Type(), tag))
		return
	}
	if n.ShortTag() == "!!binary" {
		s.badAt(n.Line, key, "binary values are not allowed: give %s", wanted(v.Type(), tag))
		return
	}
	if err := s.set(v, n.Value, tag); err != nil {
		s.badAt(n.Line, key, "%v", err)
	}
}

func (s *source) unknown(k *yaml.Node, key string, t reflect.Type) {
	if of := kindOf(k.Value); key == "" && of != "" {
		s.badAt(k.Line, k.Value, "this is a key of an %s's config: is it the right file, or is \"weir %s\" meant?", of, of)
		return
	}
	allowed := keysOf(t)
	hint := "unknown key"
	if k.Value == "<<" {
		hint = "merging is not supported, write the keys out"
	} else if near := nearest(k.Value, allowed); near != "" {
		hint += ", did you mean " + join(key, near) + "?"
	} else if full := elsewhere(k.Value, s.root); full != "" {
		hint += ", did you mean " + full + "?"
	}
	s.badAt(k.Line, join(key, k.Value), "%s Allowed here: %s", hint+stop(hint), strings.Join(allowed, ", "))
}

func stop(sentence string) string {
	if strings.HasSuffix(sentence, "?") {
		return ""
	}
	return "."
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
