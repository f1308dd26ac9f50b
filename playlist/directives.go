package playlist

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Directives are the delivery directives of a playlist request (HLSbis 6.2.5). The zero
// value is not "none": that is MSN and Part at -1, as ParseDirectives("") returns it.
type Directives struct {
	MSN  int64  // the media sequence number waited for; -1: absent
	Part int64  // the part of it; -1: absent
	Skip string // "", "YES" or "v2"
}

// None says that there is no directive at all.
func (d Directives) None() bool { return d.MSN < 0 && d.Part < 0 && d.Skip == "" }

// ParseDirectives finds the directives in a raw query, among whatever else is in it. An
// error is the client's, to be answered with 400: a part without a segment (6.2.5.2), a
// number that is none or beyond all sense, a directive given twice, a skip that is neither
// YES nor v2. Names that begin with _HLS_ and are not known are ignored.
func ParseDirectives(query string) (Directives, error) {
	d := Directives{MSN: -1, Part: -1}
	var skipped bool
	for rest := query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		name, value, _ := strings.Cut(pair, "=")
		if strings.IndexByte(name, '%') >= 0 {
			var err error
			if name, err = url.QueryUnescape(name); err != nil {
				continue
			}
		}
		if !strings.HasPrefix(name, "_HLS_") {
			continue
		}
		if strings.IndexByte(value, '%') >= 0 {
			value, _ = url.QueryUnescape(value)
		}
		var err error
		switch name {
		case "_HLS_msn":
			d.MSN, err = directive(name, value, d.MSN >= 0)
		case "_HLS_part":
			d.Part, err = directive(name, value, d.Part >= 0)
		case "_HLS_skip":
			if skipped || value != "YES" && value != "v2" {
				err = fmt.Errorf("%s=%.40q: it must be YES or v2, once", name, value)
			}
			d.Skip, skipped = value, true
		}
		if err != nil {
			return Directives{MSN: -1, Part: -1}, err
		}
	}
	if d.Part >= 0 && d.MSN < 0 {
		return Directives{MSN: -1, Part: -1}, fmt.Errorf("_HLS_part=%d without _HLS_msn", d.Part)
	}
	return d, nil
}

func directive(name, value string, again bool) (int64, error) {
	n, err := parseInteger(value)
	if err != nil || again {
		return -1, fmt.Errorf("%s=%.40q: it must be a decimal integer, once", name, value)
	}
	return n, nil
}

// Canonical is the query that asks for the same, for keys: the directives alone, in the
// order of their names, as 6.3.2 has clients sort them and not all do. "" without any.
func (d Directives) Canonical() string {
	if d.None() {
		return ""
	}
	var b []byte
	if d.MSN >= 0 {
		b = strconv.AppendInt(append(b, "_HLS_msn="...), d.MSN, 10)
	}
	if d.Part >= 0 {
		b = strconv.AppendInt(append(b, "&_HLS_part="...), d.Part, 10)
	}
	if d.Skip != "" {
		b = append(append(b, "&_HLS_skip="...), d.Skip...)
	}
	if b[0] == '&' {
		b = b[1:]
	}
	return string(b)
}
