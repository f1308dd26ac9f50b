package origin

import (
	"net/http"
	"time"

	"weir/internal/cmaf"
	"weir/internal/web"
	"weir/playlist"
)

// iframesName is the I-frame playlist of a rendition, beside its index.m3u8.
const iframesName = "iframes.m3u8"

// keyOf is the picture that shows a segment while a viewer drags the time bar: the key frame
// that it begins with. One that begins with none has none: what its first key frame shows is
// not what there is at the segment's date. A Length of 0 says so.
func keyOf(u *upload) cmaf.KeyFrame {
	if len(u.keys) == 0 || !u.timed {
		return cmaf.KeyFrame{}
	}
	k := u.keys[0]
	if apart(k.At, u.start, u.format == formatTS).Abs() > continuity {
		return cmaf.KeyFrame{}
	}
	return k
}

// framed reports whether the snapshot lists a segment with a picture.
func (s *snapshot) framed() bool {
	for _, seg := range s.window {
		if seg.key.Length > 0 {
			return true
		}
	}
	return false
}

// iframes is the snapshot as an I-frame playlist: one picture a segment, by byte range in
// the same files. So its numbers are the segments', which never change their meaning, and a
// picture lasts until the next segment's. A segment without one is a gap.
func (s *snapshot) iframes() *playlist.Media {
	m := s.media()
	m.IFramesOnly, m.IndependentSegments = true, false
	for i, seg := range s.window {
		if p := &m.Segments[i]; seg.key.Length > 0 {
			p.ByteRange = &playlist.ByteRange{Length: seg.key.Length, Offset: seg.key.Offset}
		} else {
			p.Gap = true
		}
	}
	return m
}

// viewIFrames answers with the newest I-frame playlist. Directives are ignored: nobody plays
// pictures alone at the live edge.
func (r *rendition) viewIFrames(req *web.Request) *web.Response {
	s := r.now.Load()
	life := time.Duration(s.target) * time.Second / 2
	switch {
	case s.gone:
		return refusal(http.StatusGone, "rendition_gone", "the rendition's encoder is gone", soon)
	case !s.framed():
		return missing("no_iframes", "no segment of the rendition begins with a key frame", soon)
	case s.ended:
		life = time.Minute
	}
	return r.named(s.frames().answer(req, maxAge(life), ", stale-while-revalidate=1", whileAway))
}

// pictures describes the I-frame playlist of a variant.
func (r *rendition) pictures(v *playlist.Variant) (playlist.IFrameVariant, bool) {
	if !r.now.Load().framed() {
		return playlist.IFrameVariant{}, false
	}
	x := playlist.IFrameVariant{URI: r.name + "/" + iframesName, Width: v.Width, Height: v.Height, VideoRange: v.VideoRange}
	x.Bandwidth, x.AverageBandwidth = r.frameRates.state()
	for _, t := range r.tracks {
		if t.Kind == cmaf.Video && t.Codec != "" {
			x.Codecs = t.Codec
			break
		}
	}
	return x, true
}

// measure takes a segment's size, and its picture's, into the bit rates.
func (r *rendition) measure(size, picture int64, dur time.Duration, now time.Time) {
	r.bw.add(size, dur, now)
	if picture > 0 {
		r.frameRates.add(picture, dur, now)
	} else {
		r.frameRates.cut()
	}
}
