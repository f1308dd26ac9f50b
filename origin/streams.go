package origin

import "time"

// StreamInfo is one channel as /debug/streams shows it.
type StreamInfo struct {
	Channel        string          `json:"channel"`
	TargetDuration time.Duration   `json:"target_duration_ns"`
	Since          time.Time       `json:"since"`     // when its publishing began
	LastPush       time.Time       `json:"last_push"` // when an upload last ended whole
	Bytes          int64           `json:"bytes"`     // memory its media hold
	Ended          bool            `json:"ended"`
	Renditions     []RenditionInfo `json:"renditions"`
}

// RenditionInfo is one rendition of a [StreamInfo].
type RenditionInfo struct {
	Name          string    `json:"name"`
	Codecs        string    `json:"codecs"`
	First         uint64    `json:"first"` // media sequence number of the first segment listed
	Last          uint64    `json:"last"`  // and of the last; First-1 when nothing is listed
	Gaps          uint64    `json:"gaps"`
	Discontinuity uint64    `json:"discontinuity_sequence"`
	Bandwidth     int64     `json:"bandwidth"`         // bits a second, peak
	Average       int64     `json:"average_bandwidth"` // bits a second
	Pending       int       `json:"pending"`           // pushed files not published (yet)
	Waiting       int       `json:"waiting"`           // requests that wait for the next segment
	LastPublished time.Time `json:"last_published"`
	Dead          bool      `json:"dead"` // dropped from the multivariant playlist
}
