package cmaf

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// makeBox is a box of the given type around what it holds.
func makeBox(name string, content ...[]byte) []byte {
	body := bytes.Join(content, nil)
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(append(b, name...), body...)
}

// A multivariant playlist with wrong CODECS is not played, or fails in the middle. The
// samples are what FFmpeg 5.1 makes of its test sources.
func TestInitSegmentsSayWhatTheTracksAre(t *testing.T) {
	f := func(file string, want ...Track) {
		t.Helper()
		init, err := ParseInit(sample(t, file))
		if err != nil || len(init.Tracks) != len(want) {
			t.Errorf("%s: %+v, %v", file, init, err)
			return
		}
		for i, got := range init.Tracks {
			w := want[i]
			if len(got.Config) == 0 || math.Abs(got.FrameRate-w.FrameRate) > 1e-6 {
				t.Errorf("%s: track %d has configuration %x and frame rate %v", file, i, got.Config, got.FrameRate)
			}
			if got.ID != w.ID || got.Kind != w.Kind || got.Codec != w.Codec || got.Width != w.Width || got.Height != w.Height ||
				got.Timescale != w.Timescale || got.Language != w.Language || got.Channels != w.Channels || got.SampleRate != w.SampleRate {
				t.Errorf("%s: got %+v\nwant %+v", file, got, w)
			}
		}
	}
	f("h264-aac.mp4",
		Track{ID: 1, Kind: Video, Codec: "avc1.42d00b", Width: 64, Height: 64, Timescale: 12800, FrameRate: 25},
		Track{ID: 2, Kind: Audio, Codec: "mp4a.40.2", Timescale: 48000, Language: "deu", Channels: 1, SampleRate: 48000})
	f("h264-chunks.mp4", Track{ID: 1, Kind: Video, Codec: "avc1.42c00a", Width: 66, Height: 50, Timescale: 30000, FrameRate: 30000.0 / 1001})
	f("hevc.mp4", Track{ID: 1, Kind: Video, Codec: "hvc1.2.4.L30.90", Width: 64, Height: 64, Timescale: 12800, FrameRate: 25})
	f("av1.mp4", Track{ID: 1, Kind: Video, Codec: "av01.0.00M.08", Width: 64, Height: 64, Timescale: 12800})
	f("vp9.mp4", Track{ID: 1, Kind: Video, Codec: "vp09.00.10.08", Width: 64, Height: 64, Timescale: 12800})
	f("opus.mp4", Track{ID: 1, Kind: Audio, Codec: "Opus", Timescale: 48000, Channels: 1, SampleRate: 48000})
	f("flac.mp4", Track{ID: 1, Kind: Audio, Codec: "fLaC", Timescale: 48000, Channels: 1, SampleRate: 48000})
	f("ac3.mp4", Track{ID: 1, Kind: Audio, Codec: "ac-3", Timescale: 48000, Channels: 2, SampleRate: 48000})
	f("eac3.mp4", Track{ID: 1, Kind: Audio, Codec: "ec-3", Timescale: 48000, Channels: 6, SampleRate: 48000})
}

// makeTrak is a track with one sample entry.
func makeTrak(id byte, handler, entry string, body []byte) []byte {
	return makeBox("trak",
		makeBox("tkhd", make([]byte, 12), []byte{0, 0, 0, id}, make([]byte, 68)),
		makeBox("mdia",
			makeBox("mdhd", make([]byte, 12), []byte{0, 0, 3, 0xe8}, make([]byte, 4), []byte{0x15, 0xc7, 0, 0}),
			makeBox("hdlr", make([]byte, 8), []byte(handler), make([]byte, 13)),
			makeBox("minf", makeBox("stbl", makeBox("stsd", []byte{0, 0, 0, 0, 0, 0, 0, 1}, makeBox(entry, body))))))
}

// Subtitles, and video that is encrypted: the codec is that of what was encrypted.
func TestOtherSampleEntriesHaveTheirNames(t *testing.T) {
	f := func(handler, entry string, body []byte, kind, codec string) {
		t.Helper()
		init, err := ParseInit(makeBox("moov", makeTrak(7, handler, entry, body)))
		if err != nil {
			t.Fatal(err)
		}
		if got := init.Tracks[0]; got.ID != 7 || got.Kind != kind || got.Codec != codec || got.Timescale != 1000 || got.Language != "eng" {
			t.Errorf("%s: %+v", entry, got)
		}
	}
	f("text", "wvtt", make([]byte, 8), Text, "wvtt")
	f("subt", "stpp", make([]byte, 11), Text, "stpp.ttml.im1t")
	avcC := makeBox("avcC", []byte{1, 0x64, 0, 0x1f, 0xff, 0xe0, 0, 0xfc, 0xf8, 0xf8, 0})
	f("vide", "avc3", append(make([]byte, 78), avcC...), Video, "avc3.64001f")
	f("vide", "encv", append(make([]byte, 78), append(makeBox("sinf", makeBox("frma", []byte("avc1"))), avcC...)...), Video, "avc1.64001f")
	f("vide", "xyz1", make([]byte, 78), Video, "xyz1")
	f("meta", "mett", nil, "", "mett")
	// a configuration that mp4ff cannot read leaves the bare name
	f("vide", "hvc1", append(make([]byte, 78), makeBox("hvcC", []byte{1, 2})...), Video, "hvc1")
}

// An encoder that starts again with the same settings must be told from one with others:
// the second needs a new map, the first does not.
func TestTheConfigurationTellsInitsApart(t *testing.T) {
	a, err := ParseInit(sample(t, "h264-aac.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	again, _ := ParseInit(sample(t, "h264-aac.mp4"))
	other, _ := ParseInit(sample(t, "h264-chunks.mp4"))
	if !bytes.Equal(a.Tracks[0].Config, again.Tracks[0].Config) || bytes.Equal(a.Tracks[0].Config, other.Tracks[0].Config) {
		t.Error("configurations do not tell")
	}
}

// A publisher's rubbish is refused with a reason, whatever sizes and counts it claims.
func TestBrokenInitSegmentsAreRefused(t *testing.T) {
	good := sample(t, "h264-aac.mp4")
	f := func(want string, p []byte) {
		t.Helper()
		if init, err := ParseInit(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, %v, want %q", init, err, want)
		}
	}
	f("no moov", nil)
	f("no moov", []byte("#EXTM3U"))
	f("cut short", good[:600])
	f("is no type of a box", []byte{0x47, 0x40, 0, 0x10, 0, 0, 0xb0, 0x0d})
	f("moof before moov", makeBox("moof"))
	f("moov without tracks", makeBox("moov"))
	f("at most 1048576 are read", makeBox("moov", make([]byte, maxInit+1)))
	f("more than 64 tracks", makeBox("moov", manyTracks(65)))
	f("track 1 again", makeBox("moov", makeTrak(1, "text", "wvtt", nil), makeTrak(1, "text", "wvtt", nil)))
	f("no track id", makeBox("moov", makeTrak(0, "text", "wvtt", nil)))
	f("cut short", makeBox("moov", makeTrak(1, "vide", "avc1", make([]byte, 70))))
	f("cut short", makeBox("moov", makeBox("trak", []byte{0x7f, 0xff, 0xff, 0xff, 't', 'k', 'h', 'd'})))
	f("no timescale", makeBox("moov", makeBox("trak", makeBox("tkhd", make([]byte, 12), []byte{0, 0, 0, 1}))))
}

func manyTracks(n int) []byte {
	var p []byte
	for i := range n {
		p = append(p, makeTrak(byte(i+1), "text", "wvtt", nil)...)
	}
	return p
}

func FuzzParseInit(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.mp4")
	for _, file := range files {
		p := sample(f, filepath.Base(file))
		if i := bytes.Index(p, []byte("moof")); i > 4 {
			p = p[:i-4]
		}
		f.Add(p)
	}
	f.Add(makeBox("moov", makeTrak(1, "subt", "stpp", make([]byte, 11))))
	f.Fuzz(func(t *testing.T, p []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		init, err := ParseInit(p)
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 64*uint64(len(p))+1<<20 {
			t.Errorf("%d bytes took %d of memory", len(p), spent)
		}
		if err == nil && (len(init.Tracks) == 0 || len(init.Tracks) > maxTracks) {
			t.Errorf("%d tracks", len(init.Tracks))
		}
	})
}
