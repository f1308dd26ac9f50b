package playlist

// Directives are the delivery directives of a playlist request (HLSbis 6.2.5).
type Directives struct {
	MSN  int64  // the media sequence number waited for; -1: absent
	Part int64  // the part of it; -1: absent
	Skip string // "", "YES" or "v2"
}

// ParseDirectives finds the directives in a raw query. An error is the client's: 400.
func ParseDirectives(query string) (Directives, error) { return Directives{MSN: -1, Part: -1}, nil }

// Canonical is the query that asks for the same, for keys: the directives alone, in order.
func (d Directives) Canonical() string { return "" }
