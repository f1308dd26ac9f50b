package config

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Effective writes what the node goes by, as a config file: every key that has
// a value, said or default. Secrets are not in it: of key files it tells the
// names of the keys.
func (c *Origin) Effective() []byte { return effective(c) }

// Effective writes what the node goes by, as a config file: every key that has
// a value, said or default. Secrets are not in it: of key files it tells the
// names of the keys.
func (c *Edge) Effective() []byte { return effective(c) }

func effective(c any) []byte {
	text, err := yaml.Marshal(mappingOf(reflect.ValueOf(c).Elem()))
	if err != nil {
		panic("BUG: config: " + err.Error()) // only scalars we made
	}
	return text
}

func mappingOf(v reflect.Value) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode}
	for f := range fields(v.Type()) {
		value := v.FieldByIndex(f.Index)
		if k := value.Kind(); (k == reflect.String || k == reflect.Slice || k == reflect.Map) && value.Len() == 0 {
			continue // a key that was not given and has no default
		}
		n := nodeOf(value)
		n.LineComment = loaded(v, f.Tag.Get("yaml"))
		m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: f.Tag.Get("yaml")}, n)
	}
	if f, ok := inlineOf(v.Type()); ok {
		named := v.FieldByIndex(f.Index).Interface().(map[string]Channel)
		for _, name := range slices.Sorted(maps.Keys(named)) {
			m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, mappingOf(reflect.ValueOf(named[name])))
		}
	}
	return m
}

func nodeOf(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode}
	switch x := v.Interface().(type) {
	case string:
		n.SetString(x)
	case time.Duration:
		n.Value = short(x)
	case Size:
		n.Value = x.String()
	case netip.Prefix:
		n.SetString(x.String())
	case Fields:
		return x.masked()
	case int, bool:
		n.Value = fmt.Sprint(x)
	default:
		if v.Kind() == reflect.Struct {
			return mappingOf(v)
		}
		n = &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			n.Content = append(n.Content, nodeOf(v.Index(i)))
		}
	}
	return n
}

// loaded describes what was read from the file that a key names, and never a
// secret of it.
func loaded(v reflect.Value, key string) string {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Tag.Get("yaml") != "-" || f.Tag.Get("file") != key || v.Field(i).IsZero() {
			continue
		}
		switch x := v.Field(i).Interface().(type) {
		case string:
			return "********"
		case []Publisher:
			return "publishers: " + describe(x)
		case Certificate:
			return x.String()
		case Authorities:
			return "authorities: " + x.String()
		case []Secret:
			return "keys: " + describe(x)
		}
	}
	return ""
}

// short writes a duration without its empty tail: 1m rather than 1m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
