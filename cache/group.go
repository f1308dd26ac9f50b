package cache

import (
	"time"

	"weir/internal/web"
)

// A group is what shares a part of the young.
type group uint8

const (
	live     group = iota // playlists, segments and init segments of what is on now
	recorded              // what was made before: recordings, time-shift far behind
	other                 // all else: files, pages
	groups
)

func (g group) String() string { return [...]string{"live", "recorded", "other"}[g] }

// Shares are the parts of the young, in per cent, that are left to each group
// whatever the others want. What a group does not use the others may have until
// it does. The zero Shares are the default: 70, 20 and 10.
type Shares struct{ Live, Recorded, Other int }

var defaultShares = Shares{70, 20, 10}

func (s Shares) valid() bool {
	return min(s.Live, s.Recorded, s.Other) >= 0 && s.Live+s.Recorded+s.Other <= 100
}

// oldContent is how long ago something was made that is surely not live.
const oldContent = 10 * time.Minute

// groupOf tells what an answer belongs to: by the question, which may know, and
// else by its own dates, as every server of recordings tells when a file was
// last changed. An init segment is as old as its channel.
func groupOf(q Query, lastModified string, received time.Time, age time.Duration) group {
	switch {
	case q.Recorded:
		return recorded
	case q.Class == Other || q.Class >= classes:
		return other
	case q.Class == Init:
		return live
	case age > oldContent:
		return recorded
	}
	if made, ok := web.ParseHTTPDate(lastModified); ok && received.Sub(made) > oldContent {
		return recorded
	}
	return live
}
