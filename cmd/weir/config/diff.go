package config

import (
	"reflect"
	"slices"
	"strings"
)

// A Change is a key whose value differs between two configs.
type Change struct {
	Key  string
	Live bool // a reload applies it; otherwise it needs a restart
}

// Diff returns the keys in which two origin or two edge configs differ, in the
// order of the manual. Files whose content changed count as a change of the
// key that names them.
func Diff[T Origin | Edge](old, new *T) []Change {
	var out []Change
	differ(reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem(), "", false, &out)
	// With the first key, or without the last, who may reach ingest at all
	// changes, and that is decided when its listener opens.
	if a, ok := any(old).(*Origin); ok && a.Ingest.Keyed() != any(new).(*Origin).Ingest.Keyed() {
		for i := range out {
			out[i].Live = out[i].Live && out[i].Key != "ingest.keys_file"
		}
	}
	// The encrypted listener comes and goes by a restart, and with it whatever makes sense
	// only together with it: without its certificate it could not even stay as it is.
	if tlsOf(old).On() != tlsOf(new).On() {
		for i := range out {
			out[i].Live = out[i].Live && !strings.HasPrefix(out[i].Key, "tls.") && !strings.HasPrefix(out[i].Key, "access.")
		}
	}
	return out
}

func tlsOf(c any) *TLS {
	if o, ok := c.(*Origin); ok {
		return &o.TLS
	}
	return &c.(*Edge).TLS
}

func differ(a, b reflect.Value, key string, live bool, out *[]Change) {
	t := a.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if !f.IsExported() {
			continue
		}
		if name == "-" {
			name = f.Tag.Get("file")
		}
		full := join(key, name)
		if name == ",inline" {
			full = key
		}
		live := live || f.Tag.Get("live") == "true"
		if f.Type.Kind() == reflect.Struct && hasKeys(f.Type) {
			differ(a.Field(i), b.Field(i), full, live, out)
			continue
		}
		if same(a.Field(i), b.Field(i)) {
			continue
		}
		if !slices.ContainsFunc(*out, func(c Change) bool { return c.Key == full }) {
			*out = append(*out, Change{full, live})
		}
	}
}

func hasKeys(t reflect.Type) bool {
	for range fields(t) {
		return true
	}
	return false
}

// same is DeepEqual, but no value and an empty one are the same.
func same(a, b reflect.Value) bool {
	if k := a.Kind(); (k == reflect.Slice || k == reflect.Map) && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	switch x := a.Interface().(type) {
	case Certificate:
		return x.Equal(b.Interface().(Certificate))
	case Authorities:
		return x.Equal(b.Interface().(Authorities))
	case []KeyPair:
		return slices.EqualFunc(x, b.Interface().([]KeyPair), func(p, q KeyPair) bool {
			return p.CertFile == q.CertFile && p.KeyFile == q.KeyFile && p.Certificate.Equal(q.Certificate)
		})
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// Live returns a copy of old with the values of new where a reload can apply
// them: what the node runs with after it.
func Live[T Origin | Edge](old, new *T) *T {
	merged := *old
	restart := map[string]bool{}
	for _, c := range Diff(old, new) {
		restart[c.Key] = !c.Live
	}
	merge(reflect.ValueOf(&merged).Elem(), reflect.ValueOf(new).Elem(), "", restart)
	return &merged
}

func merge(into, from reflect.Value, key string, restart map[string]bool) {
	t := into.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name := f.Tag.Get("yaml")
		if name == "-" {
			name = f.Tag.Get("file")
		}
		full := join(key, name)
		switch {
		case f.Type.Kind() == reflect.Struct && hasKeys(f.Type):
			merge(into.Field(i), from.Field(i), full, restart)
		case f.Tag.Get("live") == "true" && !restart[full]:
			into.Field(i).Set(from.Field(i))
		}
	}
}

// Split returns the keys of changes that a reload applied, and those that need
// a restart.
func Split(changes []Change) (live, restart []string) {
	for _, c := range changes {
		if c.Live {
			live = append(live, c.Key)
		} else {
			restart = append(restart, c.Key)
		}
	}
	return live, restart
}

// describe joins names for a comment.
func describe[T interface{ String() string }](items []T) string {
	names := make([]string, len(items))
	for i, it := range items {
		names[i], _, _ = strings.Cut(it.String(), " ")
	}
	return strings.Join(names, ", ")
}
