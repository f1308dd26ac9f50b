// Package origin takes in what FFmpeg makes and serves it, live and on demand.
//
// It promises that a playlist is a function of the bytes that are stored, never of the
// encoder's text: what is listed can be fetched whole, what was lost is marked EXT-X-GAP,
// names are unique for ever, numbers never go back, and an encoder that restarts, cuts an
// upload or sends nonsense harms nobody's stream but its own. Publishing touches neither
// disk nor network.
package origin

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/internal/spool"
	"weir/internal/web"
)

// Options configures an [Origin]. A zero field has the default named beside it.
type Options struct {
	// Defaults holds for every channel; Channels for those that differ. A zero field of
	// an entry of Channels is taken from Defaults.
	Defaults Channel
	Channels map[string]Channel

	// Publishers returns who may push now. It is asked at each request, must not block,
	// and what it returned must not change. nil, or an empty answer: nobody, unless
	// OpenIngest.
	Publishers func() []Publisher
	// OpenIngest lets everybody push while there are no Publishers. The caller
	// guarantees that ingest is reached from this machine only.
	OpenIngest bool

	MaxChannels int          // channels that may exist at once; more are refused with 503. 0: 1000
	MaxUpload   int64        // bytes of one pushed file; more is 413. 0: 64 MiB
	Memory      int64        // bytes that all media held may cost together. 0: 1 GiB
	Slab        *spool.Slab  // memory of uploads; nil: an own one
	Log         *slog.Logger // nil: discard
	Registerer  prometheus.Registerer
}

// Channel is how one stream is published.
type Channel struct {
	// TargetDuration is EXT-X-TARGETDURATION, in whole seconds at least 1 (a fraction is
	// rounded up). 0: learned from the first playlist pushed.
	TargetDuration time.Duration
	// Window is how much the playlist lists: never fewer than 6 segments, never less
	// than 3 target durations. 0: 30 s.
	Window time.Duration
	// Retention is how long media stay fetchable after they left the playlist; never
	// less than HLSbis 6.2.2 asks for. 0: 60 s.
	Retention time.Duration
	// HoldFor is how long a segment that is listed but not there may delay those after
	// it before it becomes a gap. 0: 1.5 target durations.
	HoldFor time.Duration
	// EndWithEncoder ends the channel when its encoder says EXT-X-ENDLIST. Otherwise
	// the channel waits for the encoder to come back.
	EndWithEncoder bool
}

// Publisher is who may push, and where to.
type Publisher struct {
	Name     string   // for the log; never secret
	Secret   string   // in the path, as Bearer token, or as the password of Basic with any user
	Channels []string // patterns of channel names, "*" standing for any run of characters; none: all
}

// An Origin takes in pushed streams and serves them.
type Origin struct{ opts Options }

// New returns an Origin. It starts nothing.
func New(o Options) (*Origin, error) { return &Origin{opts: o}, nil }

// Run keeps time: it turns what never came into gaps and lets go of what nobody may ask for
// any more. It blocks until ctx is done. An Origin without Run serves, but forgets nothing.
func (o *Origin) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Viewers serves /live/{channel}/index.m3u8, /live/{channel}/{rendition}/index.m3u8 and the
// media they name. Access to it is [Access]'s business.
func (o *Origin) Viewers() web.Handler { return web.HandlerFunc(notYet) }

// Ingest takes uploads at /ingest/{channel}/{path} and /ingest/k/{key}/{channel}/{path}.
func (o *Origin) Ingest() web.Handler { return web.HandlerFunc(notYet) }

// BeforeBody decides whether a request to [Origin.Ingest] may send its body: who it is from
// and where it goes. It is for wire.NetOptions.BeforeBody, so that a challenge comes before
// the upload (RFC 9110 10.1.1).
func (o *Origin) BeforeBody(req *web.Request) error { return nil }

// Streams returns what is published now, by name.
func (o *Origin) Streams() []StreamInfo { return nil }

// Close lets go of all media. Nothing may be served afterwards.
func (o *Origin) Close() error { return nil }

func notYet(context.Context, *web.Request) (*web.Response, error) {
	return nil, errors.New("not yet")
}
