package cmaf

import (
	"fmt"
	"math/bits"
	"strings"
)

// H265 reads a sequence parameter set (ITU-T H.265 7.3.2.2), its NAL header included: the
// codec string, which is hvc1 with what follows in ISO 14496-15 annex E, the size in pixels
// within the conformance window, and the frame rate, 0 where it is not told or not sensible.
func H265(sps []byte) (codec string, w, h int, fps float64, err error) {
	if len(sps) < 4 || len(sps) > maxSPS || sps[0]>>1&0x3f != 33 {
		return "", 0, 0, 0, errNotSPS
	}
	r := &bitReader{p: unescape(sps[2:])}
	r.skip(4) // sps_video_parameter_set_id
	layers := int(r.bits(3))
	r.skip(1)
	codec = profile265(r)
	skipLayers265(r, layers)
	r.ue(15) // sps_seq_parameter_set_id
	chroma := r.ue(3)
	if chroma == 3 && r.flag() { // separate_colour_plane_flag
		chroma = 0
	}
	w, h = int(r.ue(maxSide)), int(r.ue(maxSide))
	if r.flag() { // conformance_window_flag
		x, y := 1, 1
		if chroma == 1 || chroma == 2 {
			x = 2
		}
		if chroma == 1 {
			y = 2
		}
		w -= x * (int(r.ue(maxSide)) + int(r.ue(maxSide)))
		h -= y * (int(r.ue(maxSide)) + int(r.ue(maxSide)))
	}
	if r.bad || w <= 0 || h <= 0 {
		return "", 0, 0, 0, errBadSPS
	}
	return codec, w, h, timing265(r, layers), nil
}

// profile265 reads the general part of profile_tier_level (7.3.3).
func profile265(r *bitReader) string {
	space, tier, idc := r.bits(2), r.bit(), r.bits(5)
	compatibility := r.bits(32)
	var constraints [6]byte
	for i := range constraints {
		constraints[i] = byte(r.bits(8))
	}
	level := r.bits(8)
	last := len(constraints)
	for last > 0 && constraints[last-1] == 0 {
		last--
	}
	var b strings.Builder
	b.WriteString("hvc1.")
	if space > 0 {
		b.WriteByte("ABC"[space-1])
	}
	fmt.Fprintf(&b, "%d.%X.%c%d", idc, bits.Reverse32(compatibility), "LH"[tier], level)
	for _, c := range constraints[:last] {
		fmt.Fprintf(&b, ".%X", c)
	}
	return b.String()
}

func skipLayers265(r *bitReader, layers int) {
	var profiles, levels [8]bool
	for i := range layers {
		profiles[i], levels[i] = r.flag(), r.flag()
	}
	if layers > 0 {
		r.skip(2 * (8 - layers))
	}
	for i := range layers {
		if profiles[i] {
			r.skip(88)
		}
		if levels[i] {
			r.skip(8)
		}
	}
}

// timing265 reads on to the frame rate in the VUI; 0 where something on the way is not as
// it should be.
func timing265(r *bitReader, layers int) float64 {
	r.ue(8) // bit_depth_luma_minus8
	r.ue(8)
	pocBits := int(r.ue(12)) + 4
	n := 1
	if r.flag() { // sps_sub_layer_ordering_info_present_flag
		n = layers + 1
	}
	for range 3 * n {
		r.ue(anyValue)
	}
	for range 6 {
		r.ue(anyValue) // block and transform sizes, hierarchy depths
	}
	if r.flag() { // scaling_list_enabled_flag
		if r.flag() { // sps_scaling_list_data_present_flag
			skipScaling265(r)
		}
	}
	r.skip(2)
	if r.flag() { // pcm_enabled_flag
		r.skip(8)
		r.ue(anyValue)
		r.ue(anyValue)
		r.skip(1)
	}
	if !skipReferences265(r) {
		return 0
	}
	if r.flag() { // long_term_ref_pics_present_flag
		r.skip(int(r.ue(32)) * (pocBits + 1))
	}
	r.skip(2)
	if !r.flag() || r.bad { // vui_parameters_present_flag
		return 0
	}
	return vui265(r)
}

func skipScaling265(r *bitReader) {
	for size := range 4 {
		step := 1
		if size == 3 {
			step = 3
		}
		for matrix := 0; matrix < 6; matrix += step {
			if !r.flag() {
				r.ue(anyValue)
				continue
			}
			if size > 1 {
				r.ue(anyValue)
			}
			for range min(64, 1<<(4+size<<1)) {
				r.ue(anyValue)
			}
		}
	}
}

// skipReferences265 reads past the short-term reference picture sets (7.3.7).
func skipReferences265(r *bitReader) bool {
	var deltas [65]uint32
	n := int(r.ue(64))
	for i := range n {
		if i > 0 && r.flag() { // inter_ref_pic_set_prediction_flag
			r.skip(1)
			r.ue(anyValue)
			for range deltas[i-1] + 1 {
				used := r.flag()      // used_by_curr_pic_flag
				if used || r.flag() { // use_delta_flag
					deltas[i]++
				}
			}
		} else {
			deltas[i] = r.ue(16) + r.ue(16)
			for range deltas[i] {
				r.ue(anyValue)
				r.skip(1)
			}
		}
		if r.bad || deltas[i] > 32 {
			return false
		}
	}
	return !r.bad
}

// vui265 reads annex E.2.1 as far as the frame rate.
func vui265(r *bitReader) float64 {
	if r.flag() && r.bits(8) == 255 { // aspect_ratio_info_present_flag, EXTENDED_SAR
		r.skip(32)
	}
	if r.flag() { // overscan_info_present_flag
		r.skip(1)
	}
	if r.flag() { // video_signal_type_present_flag
		r.skip(4)
		if r.flag() {
			r.skip(24)
		}
	}
	if r.flag() { // chroma_loc_info_present_flag
		r.ue(5)
		r.ue(5)
	}
	r.skip(3)
	if r.flag() { // default_display_window_flag
		for range 4 {
			r.ue(anyValue)
		}
	}
	if !r.flag() { // vui_timing_info_present_flag
		return 0
	}
	units, scale := r.bits(32), r.bits(32)
	if r.bad {
		return 0
	}
	return frameRate(float64(scale), float64(units))
}
