package cmaf

import (
	"errors"
	"fmt"
)

// maxSPS is the longest parameter set read.
const maxSPS = 4 << 10

// maxSide is the largest width or height taken in.
const maxSide = 1 << 16

var (
	errNotSPS = errors.New("not a sequence parameter set")
	errBadSPS = errors.New("unreadable sequence parameter set")
)

// H264 reads a sequence parameter set (ITU-T H.264 7.3.2.1.1), its NAL header included: the
// codec string, which is avc1 with what follows in RFC 6381, the size in pixels after
// cropping, and the frame rate, 0 where it is not told or not sensible.
func H264(sps []byte) (codec string, w, h int, fps float64, err error) {
	if len(sps) < 4 || len(sps) > maxSPS || sps[0]&0x1f != 7 {
		return "", 0, 0, 0, errNotSPS
	}
	r := &bitReader{p: unescape(sps[1:])}
	profile, compatibility, level := r.bits(8), r.bits(8), r.bits(8)
	codec = fmt.Sprintf("avc1.%02x%02x%02x", profile, compatibility, level)
	r.ue(31) // seq_parameter_set_id
	chroma := uint32(1)
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		if chroma = r.ue(3); chroma == 3 && r.flag() { // separate_colour_plane_flag
			chroma = 0
		}
		r.ue(6) // bit_depth_luma_minus8
		r.ue(6)
		r.skip(1)
		if r.flag() { // seq_scaling_matrix_present_flag
			skipScaling264(r, chroma)
		}
	}
	r.ue(12) // log2_max_frame_num_minus4
	switch r.ue(2) {
	case 0:
		r.ue(12)
	case 1:
		r.skip(1)
		r.ue(anyValue)
		r.ue(anyValue)
		for n := r.ue(255); n > 0 && !r.bad; n-- { // num_ref_frames_in_pic_order_cnt_cycle
			r.ue(anyValue)
		}
	}
	r.ue(anyValue) // max_num_ref_frames
	r.skip(1)
	w, h = 16*(int(r.ue(maxSide))+1), 16*(int(r.ue(maxSide))+1)
	fields := 1
	if !r.flag() { // frame_mbs_only_flag
		fields = 2
		r.skip(1)
	}
	h *= fields
	r.skip(1)
	if r.flag() { // frame_cropping_flag
		x, y := 1, fields
		if chroma == 1 || chroma == 2 {
			x = 2
		}
		if chroma == 1 {
			y *= 2
		}
		w -= x * (int(r.ue(maxSide)) + int(r.ue(maxSide)))
		h -= y * (int(r.ue(maxSide)) + int(r.ue(maxSide)))
	}
	if r.bad || w <= 0 || h <= 0 || w > maxSide || h > maxSide {
		return "", 0, 0, 0, errBadSPS
	}
	if r.flag() {
		fps = timing264(r)
	}
	return codec, w, h, fps, nil
}

func skipScaling264(r *bitReader, chroma uint32) {
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if !r.flag() {
			continue
		}
		size, last, after := 16, int32(8), int32(8)
		if i >= 6 {
			size = 64
		}
		for range size {
			if after != 0 {
				v := r.ue(anyValue)
				delta := int32(v/2 + v%2)
				if v%2 == 0 {
					delta = -delta
				}
				after = (last + delta) & 0xff
			}
			if after != 0 {
				last = after
			}
			if r.bad {
				return
			}
		}
	}
}

// timing264 reads the VUI (annex E.1.1) as far as the frame rate.
func timing264(r *bitReader) float64 {
	if r.flag() && r.bits(8) == 255 { // aspect_ratio_info_present_flag, Extended_SAR
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
	if !r.flag() { // timing_info_present_flag
		return 0
	}
	units, scale := r.bits(32), r.bits(32)
	if r.bad {
		return 0
	}
	return frameRate(float64(scale), 2*float64(units)) // "two ticks" are a frame
}

// frameRate is n/d frames a second if that is a rate video can have, and 0 otherwise.
func frameRate(n, d float64) float64 {
	if !(d > 0) {
		return 0
	}
	if f := n / d; f >= 0.1 && f <= 1000 {
		return f
	}
	return 0
}
