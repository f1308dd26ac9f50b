package cache

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"sync"

	"weir/internal/web"
)

// A form is what the headers of many answers have in common: fields said in the
// same words, and the names of those that each says in its own, with where their
// values end. It never changes.
type form struct {
	shared web.Header
	names  []string
	ends   []uint32
}

// words keeps each form, each list of Vary and each variant once.
type words struct {
	mu       sync.Mutex
	forms    map[string]*form // guarded by mu, as all
	varies   map[string][]string
	variants map[string]string
}

// maxWords bounds how many of each are remembered. Those who use a forgotten one
// keep it.
const maxWords = 2048

// sharedNames are the fields whose values repeat from answer to answer. A field
// that is not among them costs each answer its value and nothing else.
var sharedNames = bothCases(
	"accept-ranges", "access-control-allow-credentials", "access-control-allow-headers",
	"access-control-allow-methods", "access-control-allow-origin", "access-control-expose-headers",
	"access-control-max-age", "alt-svc", "cache-control", "cache-status", "cdn-cache-control",
	"content-encoding", "content-language", "content-security-policy", "content-type",
	"cross-origin-resource-policy", "pragma", "server", "strict-transport-security", "surrogate-control",
	"timing-allow-origin", "vary", "via", "x-content-type-options",
)

// bothCases returns the set of names as they are usually written, and in lower
// case: others are rare, and are looked up more slowly.
func bothCases(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n], set[http.CanonicalHeaderKey(n)] = true, true
	}
	return set
}

// shares returns which fields of h are part of its form. An empty value must be:
// in an answer's own header it would hide a field instead of being one. All
// fields of one name are on the same side.
func shares(h *web.Header) func(name string) bool {
	var empty []string
	for f := range h.All() {
		if f.Value == "" {
			empty = append(empty, f.Name)
		}
	}
	return func(name string) bool {
		return sharedNames[name] || sharedNames[strings.ToLower(name)] ||
			slices.ContainsFunc(empty, func(e string) bool { return strings.EqualFold(e, name) })
	}
}

// take splits a header into its form and its own values, one after the other.
func (w *words) take(h *web.Header) (*form, string) {
	var own strings.Builder
	id := make([]byte, 0, 512)
	shared := shares(h)
	for f := range h.All() {
		if shared(f.Name) {
			id = append(append(append(append(id, f.Name...), ':'), f.Value...), '\n')
		} else {
			own.WriteString(f.Value)
			id = append(binary.AppendUvarint(append(append(id, f.Name...), 0), uint64(own.Len())), '\n')
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if fm := w.forms[string(id)]; fm != nil {
		return fm, strings.Clone(own.String())
	}
	fm, end := &form{}, uint32(0)
	for f := range h.All() {
		if shared(f.Name) {
			fm.shared.Add(strings.Clone(f.Name), strings.Clone(f.Value))
		} else {
			end += uint32(len(f.Value))
			fm.names, fm.ends = append(fm.names, strings.Clone(f.Name)), append(fm.ends, end)
		}
	}
	remember(&w.forms, string(id), fm)
	return fm, strings.Clone(own.String())
}

// vary returns the same list for all who ask for the same.
func (w *words) vary(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	id := strings.Join(names, "\n")
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.varies[id]; ok {
		return known
	}
	names = slices.Clone(names)
	remember(&w.varies, id, names)
	return names
}

// variant returns the same text for all who ask for the same.
func (w *words) variant(text []byte) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.variants[string(text)]; ok || len(text) > 64 {
		return orText(known, text)
	}
	own := string(text)
	remember(&w.variants, own, own)
	return own
}

func orText(known string, text []byte) string {
	if known == "" {
		return string(text)
	}
	return known
}

func remember[V any](m *map[string]V, id string, v V) {
	if *m == nil || len(*m) >= maxWords {
		*m = map[string]V{}
	}
	(*m)[id] = v
}

// own yields the answer's own fields.
func (h *head) own(yield func(name, value string) bool) {
	from := uint32(0)
	for i, name := range h.names {
		if end := h.ends[i]; !yield(name, h.values[from:end]) {
			return
		}
		from = h.ends[i]
	}
}

// get returns the first value of a field, or "".
func (h *head) get(name string) string {
	if h.shared.Has(name) {
		return h.shared.Get(name)
	}
	for n, v := range h.own {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// fields returns the header as stored (RFC 9111 section 3.1).
func (h *head) fields() web.Header {
	all := h.shared.Clone()
	all.Grow(len(h.names))
	for n, v := range h.own {
		all.Add(n, v)
	}
	return all
}
