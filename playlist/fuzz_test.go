package playlist

import "testing"

// Whatever parses must render, and what is rendered must parse back to the same.
func FuzzParse(f *testing.F) {
	for _, c := range readCases(f) {
		f.Add(c.in)
		if !c.fails {
			f.Add([]byte(c.want))
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		Kind(p)
		for _, kind := range []string{KindMedia, KindMultivariant} {
			if m, err := parse(kind, p); err == nil {
				checkStable(t, kind, m, m.Append(nil))
			}
		}
	})
}
