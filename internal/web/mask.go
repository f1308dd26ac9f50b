package web

import "strings"

// MaskPath returns p as it may be logged: the segment after "/t/" is a viewer's
// token, the one after "/k/" a publisher's key, and one that begins as every
// JSON Web Token does is a token at a wrong place.
func MaskPath(p string) string {
	for _, mark := range [...]string{"/t/", "/k/"} {
		for from := 0; ; {
			i := strings.Index(p[from:], mark)
			if i < 0 {
				break
			}
			p, from = maskSegment(p, from+i+len(mark))
		}
	}
	for from := 0; ; {
		i := strings.Index(p[from:], jwtStart)
		if i < 0 {
			return p
		}
		p, from = maskSegment(p, from+i)
	}
}

// jwtStart is what `{"` becomes in base64url: no header of a token begins otherwise.
const jwtStart = "eyJ"

// maskSegment replaces what p has from i to the next slash, and returns where
// to go on.
func maskSegment(p string, i int) (masked string, next int) {
	end := len(p)
	if j := strings.IndexByte(p[i:], '/'); j >= 0 {
		end = i + j
	}
	const mask = "***"
	return p[:i] + mask + p[end:], i + len(mask)
}
