package origin

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// StreamInfo is one channel as /debug/streams shows it.
type StreamInfo struct {
	Channel        string          `json:"channel"`
	TargetDuration time.Duration   `json:"target_duration_ns"`
	Since          time.Time       `json:"since"`     // when its publishing began
	LastPush       time.Time       `json:"last_push"` // when an upload last ended whole
	Bytes          int64           `json:"bytes"`     // memory its media hold
	Ended          bool            `json:"ended"`
	State          State           `json:"state"`                // what its operator made of it
	StateSince     time.Time       `json:"state_since,omitzero"` // zero: it was never anything else
	GoneAt         time.Time       `json:"gone_at,omitzero"`     // when the last of its media may go; zero while its playlists are there
	Renditions     []RenditionInfo `json:"renditions"`
	Warnings       []Warning       `json:"warnings"` // what the encoder had better do otherwise
}

// RenditionInfo is one rendition of a [StreamInfo].
type RenditionInfo struct {
	Name          string    `json:"name"`
	Path          string    `json:"path"` // of the playlist as it is pushed
	Codecs        string    `json:"codecs"`
	First         uint64    `json:"first"` // media sequence number of the first segment listed
	Last          uint64    `json:"last"`  // and of the last; First-1 when nothing is listed
	Gaps          uint64    `json:"gaps"`
	Discontinuity uint64    `json:"discontinuity_sequence"`
	Bandwidth     int64     `json:"bandwidth"`         // bits a second, peak
	Average       int64     `json:"average_bandwidth"` // bits a second
	Pending       int       `json:"pending"`           // segments told of and not published yet
	Waiting       int       `json:"waiting"`           // requests that wait for the next segment
	LastPublished time.Time `json:"last_published"`
	Dead          bool      `json:"dead"` // dropped from the multivariant playlist
}

// Streams returns what is published now, by name, and the channels that were ended and of
// which nothing else is left.
func (o *Origin) Streams() []StreamInfo {
	var all []StreamInfo
	open := *o.channels.Load()
	for _, c := range open {
		all = append(all, c.info())
	}
	for name, at := range *o.closed.Load() {
		if open[name] == nil {
			all = append(all, closedInfo(name, at))
		}
	}
	slices.SortFunc(all, func(a, b StreamInfo) int { return cmp.Compare(a.Channel, b.Channel) })
	return all
}

func (c *channel) info() StreamInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := StreamInfo{Channel: c.name, Warnings: c.warnings, Since: c.since, LastPush: c.lastPush, Bytes: c.bytes(), Ended: len(c.order) > 0,
		State: c.State(), StateSince: c.stateAt}
	if c.withdrawn.Load() {
		s.GoneAt = c.until()
	}
	if c.published != nil {
		s.TargetDuration = time.Duration(c.published.target) * time.Second
	}
	for _, r := range c.order {
		s.Ended = s.Ended && r.ended
		peak, average := r.bw.measured()
		s.Renditions = append(s.Renditions, RenditionInfo{
			Name: r.name, Path: r.path, Codecs: strings.Join(codecsOf(r.tracks), ","),
			First: r.next - uint64(len(r.log)-r.from), Last: r.next - 1,
			Gaps: r.gapCount, Discontinuity: r.timeline,
			Bandwidth: peak, Average: average,
			Pending: len(r.in.queue), Waiting: int(r.waiting.Load()), LastPublished: r.last, Dead: r.gone,
		})
	}
	return s
}
