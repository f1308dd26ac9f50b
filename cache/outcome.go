package cache

// Outcome says how a question was answered.
type Outcome uint8

// The outcomes. With an error, the outcome says what was tried.
const (
	Hit         Outcome = iota // from what was kept, and fresh
	Joined                     // by a fill that somebody else had started
	Stale                      // from what was kept, past its lifetime, as its answer allows (RFC 5861)
	Miss                       // by a fill that this question started
	Revalidated                // from what was kept, after upstream said that it is still good
	Pass                       // by a fill for this question alone: the answer may not be shared, or cannot be kept
	outcomes
)

func (o Outcome) String() string {
	return [...]string{"hit", "joined", "stale", "miss", "revalidated", "pass"}[o]
}

// Class is what kind of object is asked for.
type Class uint8

// The classes.
const (
	Other Class = iota
	Playlist
	Segment
	Init
	classes
)

func (c Class) String() string { return [...]string{"other", "playlist", "segment", "init"}[c] }
