package cmaf

import (
	"encoding/hex"
	"math"
	"testing"
)

// CODECS, RESOLUTION and FRAME-RATE decide whether a player picks a rendition at all. The
// parameter sets are of x264 and x265.
func TestParameterSetsSayCodecSizeAndRate(t *testing.T) {
	f := func(parse func([]byte) (string, int, int, float64, error), sps, codec string, w, h int, fps float64) {
		t.Helper()
		p, err := hex.DecodeString(sps)
		if err != nil {
			t.Fatal(err)
		}
		gotCodec, gotW, gotH, gotFPS, err := parse(p)
		if err != nil || gotCodec != codec || gotW != w || gotH != h || math.Abs(gotFPS-fps) > 1e-6 {
			t.Errorf("got %s %dx%d %v, %v, want %s %dx%d %v", gotCodec, gotW, gotH, gotFPS, err, codec, w, h, fps)
		}
		// Padding after the parameter set, as in a byte stream, changes nothing.
		if again, _, _, _, err := parse(append(p, 0, 0, 0)); err != nil || again != codec {
			t.Errorf("with zeros after it: %s, %v", again, err)
		}
	}
	// high profile, cropped to 1080 lines
	f(H264, "67640028acd940780227e5c04400000fa40003a9803c60c658", "avc1.640028", 1920, 1080, 30000.0/1001)
	// interlaced
	f(H264, "67640028acd94078044fde0220000003002000000643e2c5b2c0", "avc1.640028", 1920, 1080, 25)
	// 4:2:2, 10 bits
	f(H264, "677a0020b6cd9405005bb011000003000100000300640f183196", "avc1.7a0020", 1280, 720, 50)
	// 4:4:4
	f(H264, "67f40015919b28363fcfe022000003000200000300601e2c5b2c", "avc1.f40015", 426, 240, 24)
	// scaling lists and HRD parameters
	f(H264, "6764001facd900a02ff9701100000300010000030078604000f424001e84a4d38078c18cb0", "avc1.64001f", 640, 360, 60)
	// monochrome
	f(H264, "6764000cf36505067e37016c80000003008000000a078a14cb", "avc1.64000c", 320, 180, 10)

	f(H265, "420101016000000300900000030000030078a003c0801107cb965654a4c2f01680800001f480002ee004", "hvc1.1.6.L120.90", 1920, 1080, 24000.0/1001)
	// main 10, high tier, HRD parameters
	f(H265, "420101022000000300900000030000030099a001e020021c4d965654a4c2f0168080000003008000001e30d64c3f0000989680004c4b44", "hvc1.2.4.L153.90", 3840, 2160, 60)
	// temporal layers and scaling lists
	f(H265, "42010201600000030090000003000003005a0000a006c201e1cde59594aca949c2f0168080000003008000000f04", "hvc1.1.6.L90.90", 854, 480, 30)
	// 4:2:2
	f(H265, "4201010408000003009d0800000300005ab005020171f16d965654a4c2f0168080000003008000001904", "hvc1.4.10.L90.9D.8", 640, 358, 50)
}

// mp4ff makes a slice of as many frames as
// num_ref_frames_in_pic_order_cnt_cycle claims. Ours refuses, in time and in memory.
func TestHostileParameterSetsAreRefused(t *testing.T) {
	f := func(parse func([]byte) (string, int, int, float64, error), sps string) {
		t.Helper()
		p, err := hex.DecodeString(sps)
		if err != nil {
			t.Fatal(err)
		}
		if codec, w, h, _, err := parse(p); err == nil {
			t.Errorf("%s was read as %s %dx%d", sps, codec, w, h)
		}
	}
	// pic_order_cnt_type 1 with 2^31-2 frames in its cycle
	f(H264, "6742c01ed2bc00000001ffffffff")
	f(H264, "")
	f(H264, "67")
	f(H264, "68ce3c80")
	f(H264, "67640028")
	f(H264, "67000000000000000000000000000000000000")
	f(H265, "")
	f(H265, "42010101")
	f(H265, "4201ffffffffffffffffffffffffffffffffffffffffffffff")
	f(H264, "67640028"+hex.EncodeToString(make([]byte, maxSPS)))
}

func FuzzParameterSets(f *testing.F) {
	for _, s := range []string{
		"6764001facd900a02ff9701100000300010000030078604000f424001e84a4d38078c18cb0",
		"42010201600000030090000003000003005a0000a006c201e1cde59594aca949c2f0168080000003008000000f04",
		"67640028acd94078044fde0220000003002000000643e2c5b2c0",
	} {
		p, _ := hex.DecodeString(s)
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, parse := range []func([]byte) (string, int, int, float64, error){H264, H265} {
			codec, w, h, fps, err := parse(p)
			if err == nil && (codec == "" || w <= 0 || h <= 0 || w > 2*maxSide || h > 2*maxSide || fps < 0 || fps > 1000) {
				t.Errorf("%s %dx%d %v", codec, w, h, fps)
			}
		}
		AudioConfig(p)
	})
}
