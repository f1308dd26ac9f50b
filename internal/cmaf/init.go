package cmaf

import "errors"

type defaults struct{ trackID, duration, size, flags uint32 }

// ParseInit reads ftyp and moov.
func ParseInit(p []byte) (*Init, error) { return nil, errors.New("cmaf: under construction") }
