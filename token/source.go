package token

import "sync/atomic"

// A Source holds the Verifier in force. Whoever reads keys stores a new
// Verifier; whoever admits viewers loads it at each request. The zero Source
// holds none, and so does a nil one.
type Source struct{ v atomic.Pointer[Verifier] }

// Load returns the Verifier in force, or nil if there is none: then every
// viewer is served.
func (s *Source) Load() *Verifier {
	if s == nil {
		return nil
	}
	return s.v.Load()
}

// Store puts v in force. Verdicts the former Verifier remembered go with it,
// so that a key that was removed admits nobody from this moment on.
func (s *Source) Store(v *Verifier) { s.v.Store(v) }
