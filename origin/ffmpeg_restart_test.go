package origin

import (
	"context"
	"testing"
	"time"
)

// FFmpeg is killed without a word, in the middle of whatever it does, and comes back under the
// same names with the same picture, another resolution or fewer tracks: one channel, one
// discontinuity, and everything that is listed decodes.
func TestFFmpegIsKilledAndComesBack(t *testing.T) {
	f := func(name string, as ...string) {
		for _, kind := range []string{"mpegts", "fmp4"} {
			t.Run(name+" as "+kind, func(t *testing.T) {
				t.Parallel()
				s := newStation(t, Options{})
				to := []string{"-hls_segment_type", kind, s.base + "/ingest/c/index.m3u8"}
				ctx, kill := context.WithTimeout(t.Context(), 4500*time.Millisecond)
				defer kill()
				s.encode(ctx, 60, 1, 440, to...) // a connection each: playlists and media overtake each other
				s.encode(t.Context(), 4, 1, 880, append(as[:len(as):len(as)], to...)...)
				time.Sleep(2500 * time.Millisecond) // what is held comes out
				m := s.media("main")
				broken := discontinuities(m)
				for i, seg := range m.Segments[1:] { // i counts those before
					if seg.Discontinuity && seg.Map != nil && len(as) > 0 && seg.Map.URI == m.Segments[i].Map.URI {
						t.Errorf("another encoder has the same EXT-X-MAP")
					}
				}
				if n := len(m.Segments); n < 6 || n > 9 || broken != 1 {
					t.Errorf("%d segments, %d discontinuities:\n%s", n, broken, s.get("/live/c/main/index.m3u8").body)
				}
				if n := s.metric("weir_origin_gaps_total", "c"); n > 1 { // the one it was killed in, if it told of it
					t.Errorf("%v gaps", n)
				}
				s.decodeMedia("main")
			})
		}
	}
	f("the same")
	f("another resolution", "-s", "160x90")
	f("without sound", "-an")
}

// decodeMedia is decodeParts for a playlist that may hold a gap.
func (s *station) decodeMedia(name string) {
	s.Helper()
	for _, seg := range s.media(name).Segments {
		if seg.Gap {
			return
		}
	}
	s.decodeParts(name)
}
