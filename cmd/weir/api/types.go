// Package api is the operator's API of an origin as both its ends see it: what is said, in
// JSON, and a client that asks.
//
// It promises that whatever the other end says, a client is back within its time with an
// answer of bounded size, or an error that names who was asked and what to look at. The
// pages of docs/api.md are about these types.
package api

import (
	"encoding/json"
	"errors"
	"math"
	"time"
)

// The paths, below which a name follows.
const (
	ChannelsPath = "/api/v1/channels"
	AssetsPath   = "/api/v1/vod"
)

// MaxBody is the most bytes of a request's body.
const MaxBody = 64 << 10

// Seconds is a duration that JSON has as a number of seconds.
type Seconds time.Duration

// Duration returns it as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// MarshalJSON implements [json.Marshaler].
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// UnmarshalJSON implements [json.Unmarshaler]: up to 1e9 seconds are taken, in microseconds.
func (s *Seconds) UnmarshalJSON(p []byte) error {
	var f float64
	if err := json.Unmarshal(p, &f); err != nil {
		return err
	}
	if math.Abs(f) > 1e9 {
		return errors.New("a duration is a number of seconds, up to 1e9")
	}
	*s = Seconds(time.Duration(math.Round(f*1e6)) * time.Microsecond)
	return nil
}

// The states of a channel.
const (
	Live    = "live"    // as its encoder pushes it
	Ended   = "ended"   // by the operator: uploads are refused until it is resumed
	Removed = "removed" // its playlists are gone, its media go
)

// A Channel is what is published under one name.
type Channel struct {
	Name           string      `json:"channel"`
	State          string      `json:"state"`
	StateSince     time.Time   `json:"state_since,omitzero"` // zero: it was never anything else
	GoneAt         time.Time   `json:"gone_at,omitzero"`     // when the last of its media may go; zero: its playlists are there
	Complete       bool        `json:"complete"`             // every playlist has its end
	TargetDuration Seconds     `json:"target_duration"`      // 0: not known yet
	Since          time.Time   `json:"since,omitzero"`       // when its publishing began
	LastPush       time.Time   `json:"last_push,omitzero"`
	Bytes          int64       `json:"bytes"` // memory of its media
	Renditions     []Rendition `json:"renditions"`
}

// A Rendition is one media playlist of a [Channel].
type Rendition struct {
	Name          string    `json:"name"`
	Codecs        string    `json:"codecs"`
	First         uint64    `json:"first"`             // number of the first segment listed
	Last          uint64    `json:"last"`              // and of the last
	Gaps          uint64    `json:"gaps"`              // so far
	Bandwidth     int64     `json:"bandwidth"`         // bits a second, peak
	Average       int64     `json:"average_bandwidth"` // bits a second
	Pending       int       `json:"pending"`           // segments told of and not published yet
	Waiting       int       `json:"waiting"`           // requests that wait for the next segment
	LastPublished time.Time `json:"last_published,omitzero"`
	Dead          bool      `json:"dead"` // its encoder went while others go on
}

// A DateRange is EXT-X-DATERANGE.
type DateRange struct {
	ID        string    `json:"id"`
	Class     string    `json:"class,omitempty"`
	Start     time.Time `json:"start,omitzero"`
	End       time.Time `json:"end,omitzero"`
	Duration  *Seconds  `json:"duration,omitempty"`
	Planned   *Seconds  `json:"planned_duration,omitempty"`
	EndOnNext bool      `json:"end_on_next,omitempty"`
	Cue       string    `json:"cue,omitempty"`
	SCTE35Cmd string    `json:"scte35_cmd,omitempty"`
	SCTE35Out string    `json:"scte35_out,omitempty"`
	SCTE35In  string    `json:"scte35_in,omitempty"`
	// X are the X- attributes: a number is a number, a string of 0x and hexadecimal digits
	// such a sequence, one in quotes of its own what is between them, any other is text.
	X map[string]any `json:"x,omitempty"`
}

// An AssetRequest says what of a channel is to become an asset.
type AssetRequest struct {
	Asset   string    `json:"asset"`
	Channel string    `json:"channel"`
	Start   time.Time `json:"start,omitzero"` // zero: from the oldest that is kept
	End     time.Time `json:"end,omitzero"`   // zero: until now
}

// An Asset is a finished programme.
type Asset struct {
	Name       string    `json:"asset"`
	Path       string    `json:"path"` // of its multivariant playlist
	Channel    string    `json:"channel"`
	Start      time.Time `json:"start"`
	End        time.Time `json:"end"`
	Duration   Seconds   `json:"duration"`
	Bytes      int64     `json:"bytes"`
	Gaps       int       `json:"gaps"`
	Renditions []string  `json:"renditions"`
	Made       time.Time `json:"made"`
}

// The answers that are lists.
type (
	// Channels answers GET /api/v1/channels.
	Channels struct {
		Channels []Channel `json:"channels"`
	}
	// DateRanges answers GET /api/v1/channels/{channel}/dateranges.
	DateRanges struct {
		DateRanges []DateRange `json:"dateranges"`
	}
	// Assets answers GET /api/v1/vod.
	Assets struct {
		Assets []Asset `json:"assets"`
	}
)

// Error is every answer that is none.
type Error struct {
	Status int    `json:"-"`
	Text   string `json:"error"`
	Reason string `json:"reason"` // a fixed word, for scripts
}

func (e *Error) Error() string { return e.Text }
