package origin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/internal/cmaf"
)

// A Warning is something that an encoder had better do otherwise: known with certainty from
// the bytes it pushes, and no error, since some players play it all the same.
type Warning struct {
	Code      string `json:"code"`                // stable, for alerts and scripts
	Rendition string `json:"rendition,omitempty"` // "": the channel as a whole
	Text      string `json:"text"`                // what is wrong, and FFmpeg's option that mends it
}

const (
	examineEvery = 5 * time.Second
	examined     = 20 // segments of each rendition that are looked at: the newest
	offBy        = 500 * time.Millisecond
)

// A patient is what is known of a rendition.
type patient struct {
	name    string
	format  format
	tracks  []cmaf.Track
	rate    float64 // frames a second; 0: not known
	untimed bool    // captions that do not say when they are to be shown
	newest  []symptom
}

// A symptom is one of its segments with media.
type symptom struct {
	timeline uint64
	date     time.Time
	declared time.Duration
	measured time.Duration // 0: not known
	solo     bool          // a decoder can start with it
	known    bool          // what solo says is known
}

// diagnose says what is wrong with a channel's renditions, whose target duration is in
// seconds. It is a function of what it is given.
func diagnose(all []patient, target int) (found []Warning) {
	warn := func(code, rendition, format string, args ...any) {
		found = append(found, Warning{code, rendition, fmt.Sprintf(format, args...)})
	}
	if target > 10 {
		warn("target_duration", "", "the target duration is %d s, and players start late and switch late: Apple recommends 6 s (-hls_time 6)", target)
	}
	sound, aac, pictures := false, false, false
	for i := range all {
		p := &all[i]
		for _, t := range p.tracks {
			switch t.Kind {
			case cmaf.Audio:
				sound = true
				aac = aac || strings.HasPrefix(t.Codec, "mp4a.40") && t.Codec != "mp4a.40.34" && t.Codec != "mp4a.40.33"
			case cmaf.Video:
				pictures = true
				p.video(&t, warn)
			}
		}
		sound = sound || p.format == formatAAC || p.format == formatMP3
		aac = aac || p.format == formatAAC
		p.segments(target, warn)
		if p.untimed {
			warn("captions_untimed", p.name, "captions do not say when they are to be shown (no X-TIMESTAMP-MAP), and the media do not tell: they may be shown too early; begin the encoder anew, or push fragmented MP4 (-hls_segment_type fmp4)")
		}
	}
	switch {
	case pictures && !sound:
		warn("no_audio", "", "no rendition has sound: if it is not meant so, map it (-map 0:a -c:a aac)")
	case sound && !aac:
		warn("no_aac", "", "no rendition has AAC sound, which is what every player plays: add one (-c:a aac)")
	}
	found = append(found, unaligned(all, target)...)
	slices.SortStableFunc(found, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Rendition, b.Rendition), cmp.Compare(a.Code, b.Code))
	})
	return slices.CompactFunc(found, func(a, b Warning) bool { return a.Code == b.Code && a.Rendition == b.Rendition })
}

// video looks at a track of pictures.
func (p *patient) video(t *cmaf.Track, warn func(code, rendition, format string, args ...any)) {
	kind, _, _ := strings.Cut(t.Codec, ".")
	switch {
	case kind == "hev1" || kind == "avc3":
		want := map[string]string{"hev1": "hvc1", "avc3": "avc1"}[kind]
		warn("sample_entry", p.name, "the sample entry is %s, which Apple's players do not play: use %s (-tag:v %s)", kind, want, want)
	case kind == "hvc1" && p.format == formatTS:
		warn("hevc_in_ts", p.name, "HEVC is in MPEG-TS, which Apple's players do not play: use fragmented MP4 (-hls_segment_type fmp4 -tag:v hvc1)")
	}
	if t.Width%2 != 0 || t.Height%2 != 0 {
		warn("odd_resolution", p.name, "the resolution is %dx%d, and decoders in hardware want even numbers (-vf \"scale=trunc(iw/2)*2:trunc(ih/2)*2\")", t.Width, t.Height)
	}
	if p.rate == 0 && t.FrameRate == 0 && len(p.newest) >= 3 {
		warn("no_frame_rate", p.name, "the frame rate is not told, and the multivariant playlist has no FRAME-RATE (-r 25)")
	}
}

// segments looks at what is declared of them and what they are.
func (p *patient) segments(target int, warn func(code, rendition, format string, args ...any)) {
	dependent, off := 0, 0
	var worst symptom
	for _, s := range p.newest {
		if s.known && !s.solo {
			dependent++
		}
		if s.measured > 0 && (s.declared-s.measured).Abs() > offBy {
			if off++; (s.declared - s.measured).Abs() > (worst.declared - worst.measured).Abs() {
				worst = s
			}
		}
	}
	if dependent > 0 {
		options := "-sc_threshold 0 -force_key_frames \"expr:gte(t,n_forced*T)\", with T of -hls_time"
		if p.rate > 0 {
			g := int(p.rate*float64(target) + 0.5)
			options = fmt.Sprintf("-sc_threshold 0 -g %d -keyint_min %d -hls_time %d", g, g, target)
		}
		warn("no_key_frame", p.name, "%d of the newest %d segments do not begin with a key frame, and players can neither start nor switch there (%s)", dependent, len(p.newest), options)
	}
	if off > 0 {
		warn("durations", p.name, "%d of the newest %d segments do not last what the encoder says, by up to %v (%v instead of %v): mend the input's time stamps (-fps_mode cfr, -fflags +genpts)",
			off, len(p.newest), (worst.declared - worst.measured).Abs().Round(time.Millisecond), worst.measured.Round(time.Millisecond), worst.declared.Round(time.Millisecond))
	}
}

// unaligned compares where the segments of renditions with pictures begin: players switch
// between them there.
func unaligned(all []patient, target int) (found []Warning) {
	var first *patient
	for i := range all {
		p := &all[i]
		if !slices.ContainsFunc(p.tracks, func(t cmaf.Track) bool { return t.Kind == cmaf.Video }) || len(p.newest) == 0 {
			continue
		}
		if first == nil {
			first = p
			continue
		}
		from, to := first.newest[0].date, first.newest[len(first.newest)-1].date
		apart, of := 0, 0
		for _, s := range p.newest {
			if s.date.Before(from) || s.date.After(to) {
				continue
			}
			// Where a timeline begins renditions may differ by what their encoder began with.
			near := slices.ContainsFunc(first.newest, func(x symptom) bool {
				return x.timeline != s.timeline || x.date.Sub(s.date).Abs() <= continuity
			})
			if of++; !near {
				apart++
			}
		}
		if apart > 0 {
			found = append(found, Warning{"unaligned", p.name, fmt.Sprintf(
				"%d of %d segments begin elsewhere than those of %s, and switching between them stutters: give all the same key frames (-sc_threshold 0 -force_key_frames \"expr:gte(t,n_forced*%d)\")",
				apart, of, first.name, target)})
		}
	}
	return found
}

// patient gathers what is known of a rendition.
func (r *rendition) patient() patient {
	p := patient{name: r.name, format: r.format, tracks: r.tracks, rate: r.rate, untimed: r.untimed}
	window := r.log[r.from:]
	for _, seg := range window[max(0, len(window)-examined):] {
		u := seg.up
		if u == nil {
			continue
		}
		s := symptom{timeline: seg.timeline, date: seg.date, declared: seg.dur, solo: u.independent,
			known: u.timed && (u.format == formatTS || u.format == formatFMP4)}
		if u.timed && u.end > u.start {
			s.measured = u.end - u.start
		}
		p.newest = append(p.newest, s)
	}
	return p
}

// examine brings the channel's warnings up to date, and tells those that are new or have
// come back.
func (c *channel) examine(now time.Time) {
	if c.published == nil || now.Sub(c.examinedAt) < examineEvery {
		return
	}
	c.examinedAt = now
	var all []patient
	for _, r := range c.order {
		if !r.gone && len(r.log) > r.from {
			all = append(all, r.patient())
		}
	}
	found := diagnose(all, c.published.target)
	same := func(w Warning) func(Warning) bool {
		return func(x Warning) bool { return x.Code == w.Code && x.Rendition == w.Rendition }
	}
	for _, w := range found {
		if !slices.ContainsFunc(c.warnings, same(w)) {
			c.log.Warn("encoder: "+w.Text, "rendition", w.Rendition, "code", w.Code)
		}
	}
	for _, w := range c.warnings {
		if !slices.ContainsFunc(found, same(w)) {
			c.log.Info("encoder: what was warned of is no longer so", "rendition", w.Rendition, "code", w.Code)
		}
	}
	c.warnings = found
	c.o.metrics.warnings.WithLabelValues(c.name).Set(float64(len(found)))
}
