package origin

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"time"

	"weir/internal/cmaf"
	"weir/playlist"
)

// multiSnapshot is a multivariant playlist at one moment.
type multiSnapshot struct {
	says *playlist.Multivariant
	text func() *rendered
}

const (
	audioGroup    = "audio"
	subtitleGroup = "subs"
)

// refreshMulti publishes a new multivariant playlist where what it says has changed. The
// first one waits until every rendition that is expected has media, but no longer than three
// target durations; where neither the operator nor a pushed multivariant playlist tells what
// to expect, it waits a moment for siblings.
func (c *channel) refreshMulti(now time.Time) {
	if c.published == nil || c.alive() == 0 {
		return
	}
	if c.first.IsZero() {
		c.first = now
	}
	old := c.multi.Load()
	if old == nil {
		td := time.Duration(c.published.target) * time.Second
		wait, missing := 3*td, c.missing()
		if len(missing) == 0 {
			wait = 0
			if c.expected == nil && len(c.config.Renditions) == 0 {
				wait = min(td/4, time.Second)
			}
		}
		if c.multiAt = c.first.Add(wait); now.Before(c.multiAt) {
			return
		}
		if len(missing) > 0 {
			c.log.Warn("multivariant playlist is published without renditions that are expected (channels.*.renditions, or the encoder's own multivariant playlist)",
				"missing", strings.Join(missing, " "), "waited", wait)
		}
	}
	m := c.multivariant()
	if old != nil && reflect.DeepEqual(old.says, m) {
		return
	}
	c.multi.Store(&multiSnapshot{m, render(m.Append, c.o.metrics)})
	whole := *m
	whole.IFrames = nil // there are none over the past
	c.pastMulti.Store(&multiSnapshot{&whole, render(whole.Append, c.o.metrics)})
}

// missing names the renditions that are expected and have no media: those that the operator
// named, else those that the encoder did, and what began to be pushed.
func (c *channel) missing() (names []string) {
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, r := range c.order {
		if len(r.log) == 0 {
			add(r.name)
		}
	}
	if len(c.config.Renditions) > 0 {
		for _, name := range c.config.Renditions {
			if (*c.byName.Load())[name] == nil {
				add(name)
			}
		}
		return names
	}
	if c.expected != nil {
		for _, p := range c.expected.paths {
			if c.byPath[p] == nil {
				add(renditionName(p))
			}
		}
	}
	return names
}

// multivariant describes the renditions that publish, by what was measured of them.
func (c *channel) multivariant() *playlist.Multivariant {
	m := &playlist.Multivariant{IndependentSegments: true}
	var video, audio, text []*rendition
	for _, r := range c.order {
		if r.gone || len(r.log) == 0 {
			continue
		}
		m.IndependentSegments = m.IndependentSegments && r.solo
		switch kinds := r.kinds(); {
		case r.format == formatVTT || kinds == cmaf.Text:
			text = append(text, r)
		case kinds == cmaf.Audio:
			audio = append(audio, r)
		default:
			video = append(video, r)
		}
	}
	peaks, averages := map[*rendition]int64{}, map[*rendition]int64{}
	for _, r := range slices.Concat(video, audio) {
		peaks[r], averages[r] = r.bw.state()
	}
	slices.SortStableFunc(video, func(a, b *rendition) int { return cmp.Compare(peaks[b], peaks[a]) })
	slices.SortStableFunc(audio, c.byRank)
	slices.SortStableFunc(text, c.byRank)
	var sound *rendition // the dearest of the group
	if len(video) > 0 && c.grouped(video, audio) {
		m.Renditions = append(m.Renditions, c.alternatives("AUDIO", audioGroup, audio)...)
		for _, r := range audio {
			if sound == nil || peaks[r] > peaks[sound] {
				sound = r
			}
		}
	} else {
		video = append(video, audio...)
	}
	m.Renditions = append(m.Renditions, c.alternatives("SUBTITLES", subtitleGroup, text)...)
	for _, r := range video {
		v := playlist.Variant{
			URI: r.name + "/index.m3u8", Bandwidth: peaks[r], AverageBandwidth: averages[r],
			FrameRate: r.rate,
		}
		codecs := codecsOf(r.tracks)
		if sound != nil {
			v.Audio = audioGroup
			v.Bandwidth += peaks[sound]
			v.AverageBandwidth += averages[sound]
			for _, a := range audio {
				codecs = merge(codecs, codecsOf(a.tracks))
			}
		}
		if len(text) > 0 {
			v.Subtitles = subtitleGroup
		}
		v.Bandwidth, v.AverageBandwidth = roundUp(v.Bandwidth), roundUp(v.AverageBandwidth)
		v.Codecs = strings.Join(codecs, ",")
		for _, t := range r.tracks {
			if t.Kind == cmaf.Video {
				v.Width, v.Height = t.Width, t.Height
			}
		}
		m.Variants = append(m.Variants, v)
		if x, ok := r.pictures(&v); ok {
			m.IFrames = append(m.IFrames, x)
		}
	}
	return m
}

// kinds is cmaf.Audio or cmaf.Text where all tracks are, else cmaf.Video.
func (r *rendition) kinds() string {
	if r.format == formatAAC || r.format == formatMP3 {
		return cmaf.Audio
	}
	if len(r.tracks) == 0 {
		return cmaf.Video
	}
	for _, t := range r.tracks {
		if t.Kind != r.tracks[0].Kind || t.Kind == cmaf.Video || t.Kind == "" {
			return cmaf.Video
		}
	}
	return r.tracks[0].Kind
}

// grouped decides whether audio renditions are the sound of the video ones, or variants of
// their own for those who cannot afford pictures: the first where the encoder says so, or
// where some video has no sound in it.
func (c *channel) grouped(video, audio []*rendition) bool {
	for _, a := range audio {
		if c.expected != nil {
			if x, ok := c.expected.media[a.path]; ok && x.Type == "AUDIO" {
				return true
			}
		}
	}
	return slices.ContainsFunc(video, func(v *rendition) bool {
		return len(v.tracks) > 0 && !slices.ContainsFunc(v.tracks, func(t cmaf.Track) bool { return t.Kind == cmaf.Audio })
	})
}

// byRank orders alternatives: the encoder's DEFAULT first, then as the encoder lists them,
// then by name. Whose upload came first must not decide what viewers hear.
func (c *channel) byRank(a, b *rendition) int {
	rank := func(r *rendition) int {
		if c.expected == nil {
			return 0
		}
		if c.expected.media[r.path].Default {
			return -1
		}
		if i := slices.Index(c.expected.paths, r.path); i >= 0 {
			return i
		}
		return len(c.expected.paths)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.name, b.name))
}

func codecsOf(tracks []cmaf.Track) (list []string) {
	for _, kind := range []string{cmaf.Video, cmaf.Audio, cmaf.Text} {
		for _, t := range tracks {
			if t.Kind == kind && t.Codec != "" {
				list = merge(list, []string{t.Codec})
			}
		}
	}
	return list
}

func merge(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}
