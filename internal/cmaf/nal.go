package cmaf

import "errors"

// H264 reads a sequence parameter set, its NAL header included. fps is 0 if it is not told.
func H264(sps []byte) (codec string, w, h int, fps float64, err error) {
	return "", 0, 0, 0, errors.New("cmaf: under construction")
}

// H265 reads a sequence parameter set, its NAL header included. fps is 0 if it is not told.
func H265(sps []byte) (codec string, w, h int, fps float64, err error) {
	return "", 0, 0, 0, errors.New("cmaf: under construction")
}
