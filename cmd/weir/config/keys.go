package config

import (
	"reflect"
	"slices"
	"strings"
)

// fieldOf returns the field of struct type t whose key is name.
func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for f := range fields(t) {
		if f.Tag.Get("yaml") == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// fields yields the fields of t that are keys, in order.
func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			f := t.Field(i)
			if name := f.Tag.Get("yaml"); name != "" && name != "-" && name != ",inline" && !yield(f) {
				return
			}
		}
	}
}

func inlineOf(t reflect.Type) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("yaml") == ",inline" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func keysOf(t reflect.Type) []string {
	var names []string
	for f := range fields(t) {
		names = append(names, f.Tag.Get("yaml"))
	}
	if _, ok := inlineOf(t); ok {
		names = append(names, "a channel's name")
	}
	return names
}

// elsewhere returns the full key of the one key called name anywhere in t, or
// "" if there is none or more than one.
func elsewhere(name string, t reflect.Type) string {
	var found []string
	for _, key := range Keys(t) {
		if key == name || strings.HasSuffix(key, "."+name) {
			found = append(found, key)
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// Keys returns every key that can be given for a struct of type t, dotted, in
// order. A list of structs has its keys under "name[]", an inline map's under
// its parent as "NAME".
func Keys(t reflect.Type) []string {
	var keys []string
	for f := range fields(t) {
		name, ft := f.Tag.Get("yaml"), f.Type
		switch {
		case leaf(ft), ft.Kind() == reflect.Slice && leaf(ft.Elem()):
			keys = append(keys, name)
		case ft.Kind() == reflect.Slice:
			keys = append(keys, prefixed(name+"[]", Keys(ft.Elem()))...)
		default:
			keys = append(keys, prefixed(name, Keys(ft))...)
		}
	}
	if f, ok := inlineOf(t); ok {
		keys = append(keys, prefixed("NAME", Keys(f.Type.Elem()))...)
	}
	return keys
}

func prefixed(prefix string, keys []string) []string {
	out := slices.Clone(keys)
	for i := range out {
		out[i] = prefix + "." + out[i]
	}
	return out
}
