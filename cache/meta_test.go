package cache

import (
	"reflect"
	"testing"
	"time"

	"weir/internal/web"
)

// What is read back from the disk is what was written, and nothing else is taken
// for it.
func TestMetaIsReadBack(t *testing.T) {
	var w words
	born := time.Date(2026, 11, 26, 5, 4, 3, 2, time.UTC)
	f := func(h head, vary []string, variant string, header ...string) {
		t.Helper()
		all := web.NewHeader(header...)
		h.form, h.values = w.take(&all)
		p := appendMeta(nil, &h, recorded, vary, variant)
		m, ok := parseMeta(p)
		if !ok {
			t.Fatalf("%q is not read back", p)
		}
		m.form, m.values = w.take(&m.header)
		h.hasAge = true
		m.born, h.born = m.born.UTC(), h.born.UTC()
		if !reflect.DeepEqual(*m.head, h) || m.group != recorded || !reflect.DeepEqual(m.vary, vary) || m.variant != variant {
			t.Errorf("%+v, want %+v", m, h)
		}
		for i := range p {
			if _, ok := parseMeta(p[:i]); ok {
				t.Errorf("%d bytes of %d are taken for all", i, len(p))
			}
		}
		if _, ok := parseMeta(append(p, 0)); ok {
			t.Error("one byte more is taken for all")
		}
	}
	f(head{status: 200, born: born, lifetime: time.Hour, whileRevalidate: time.Second, ifError: time.Minute}, nil, "",
		"Content-Type", "video/mp4", "ETag", `"x"`, "X-Empty", "", "Date", "today", "Cache-Control", "a", "cache-control", "b")
	f(head{status: 404, born: born, mustRevalidate: true, noCache: true}, []string{"accept-encoding", "x"}, "g\x00=1,\x00")
}

// The disk may hold anything.
func FuzzParseMeta(f *testing.F) {
	var w words
	all := web.NewHeader("Content-Type", "video/mp4", "ETag", `"x"`)
	h := head{status: 200, lifetime: time.Hour}
	h.form, h.values = w.take(&all)
	f.Add(appendMeta(nil, &h, live, []string{"accept-encoding"}, "g\x00"))
	f.Add([]byte{metaForm})
	f.Fuzz(func(t *testing.T, p []byte) {
		m, ok := parseMeta(p)
		if !ok {
			return
		}
		if m.status < 100 || m.lifetime < 0 || len(m.vary) > maxVary || m.header.Bytes() > 4*len(p)+4 {
			t.Errorf("%+v", m)
		}
		m.answers(&noHeader)
	})
}

// Headers that say the same share what they say; each gets its own back.
func TestWordsAreSharedAndGivenBack(t *testing.T) {
	var w words
	f := func(header ...string) *head {
		t.Helper()
		all := web.NewHeader(header...)
		h := &head{}
		h.form, h.values = w.take(&all)
		back := h.fields()
		if back.Len() != all.Len() {
			t.Errorf("%v fields of %v", back.Len(), all.Len())
		}
		for field := range all.All() {
			if back.Joined(field.Name) != all.Joined(field.Name) {
				t.Errorf("%s: %q, want %q", field.Name, back.Joined(field.Name), all.Joined(field.Name))
			}
			if h.get(field.Name) != all.Get(field.Name) {
				t.Errorf("get %s: %q", field.Name, h.get(field.Name))
			}
		}
		return h
	}
	a := f("Content-Type", "video/mp4", "ETag", `"1234"`, "Date", "yesterday", "Server", "nginx")
	b := f("Content-Type", "video/mp4", "ETag", `"5678"`, "Date", "everyday!", "Server", "nginx")
	if a.form != b.form {
		t.Error("the same words are kept twice")
	}
	if c := f("Content-Type", "video/mp2t", "ETag", `"1234"`, "Date", "yesterday", "Server", "nginx"); c.form == a.form {
		t.Error("other words are taken for the same")
	}
	f()
	f("X", "", "x", "1", "Set-Thing", "a", "set-thing", "b")
	f("A", "bc", "D", "e")
	f("A", "b", "D", "ce") // the same bytes, cut elsewhere
	for i := range 3 * maxWords {
		f("Server", string(rune('a'+i)))
	}
	if len(w.forms) > maxWords {
		t.Errorf("%d forms are remembered", len(w.forms))
	}
}
