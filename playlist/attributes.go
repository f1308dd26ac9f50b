package playlist

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// attributes is a parsed attribute list (HLSbis 4.2), short enough to be searched.
type attributes []attribute

type attribute struct {
	name, value string
	quoted      bool
}

// parseAttributes reads an attribute list. White space after a comma is let pass, for the
// sake of what is out there; a name that occurs twice is not: "a given AttributeName MUST
// NOT appear more than once".
func parseAttributes(s string) (attributes, error) {
	var list attributes
	for s = strings.TrimSpace(s); s != ""; {
		name, rest, ok := strings.Cut(s, "=")
		if !ok || !isAttributeName(name) {
			return nil, fmt.Errorf("has no attribute name at %.40q", s)
		}
		if list.has(name) {
			return nil, fmt.Errorf("has %s twice", name)
		}
		if len(list) == maxAttributes {
			return nil, fmt.Errorf("has more than %d attributes", maxAttributes)
		}
		a := attribute{name: name}
		if a.quoted = strings.HasPrefix(rest, `"`); a.quoted {
			if a.value, rest, ok = strings.Cut(rest[1:], `"`); !ok {
				return nil, fmt.Errorf("has no closing quote after %s", name)
			}
			if rest = strings.TrimSpace(rest); rest != "" && rest[0] != ',' {
				return nil, fmt.Errorf("has no comma after %s", name)
			}
			s = strings.TrimPrefix(rest, ",")
		} else {
			a.value, s, _ = strings.Cut(rest, ",")
			if a.value = strings.TrimSpace(a.value); a.value == "" || strings.ContainsAny(a.value, "\" \t") {
				return nil, fmt.Errorf("has no usable value for %s", name)
			}
		}
		s = strings.TrimSpace(s)
		list = append(list, a)
	}
	return list, nil
}

func isAttributeName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return s != ""
}

func (l attributes) find(name string) (attribute, bool) {
	for _, a := range l {
		if a.name == name {
			return a, true
		}
	}
	return attribute{}, false
}

func (l attributes) has(name string) bool { _, ok := l.find(name); return ok }

// text is the value of name, quoted or not, or "".
func (l attributes) text(name string) string { a, _ := l.find(name); return a.value }

// required is the value of name as a quoted string.
func (l attributes) required(name string) (string, error) {
	a, ok := l.find(name)
	if !ok || !a.quoted || a.value == "" {
		return "", fmt.Errorf("has no %s", name)
	}
	return a.value, nil
}

// yes reads an enumerated YES or NO, the default.
func (l attributes) yes(name string) (bool, error) {
	switch a, ok := l.find(name); {
	case !ok || a.value == "NO":
		return false, nil
	case a.value == "YES":
		return true, nil
	default:
		return false, fmt.Errorf("has %s=%.40q, which is neither YES nor NO", name, a.value)
	}
}

// number reads a decimal integer; 0 where there is none.
func (l attributes) number(name string) (int64, error) {
	a, ok := l.find(name)
	if !ok {
		return 0, nil
	}
	n, err := parseInteger(a.value)
	if err != nil || a.quoted {
		return 0, fmt.Errorf("has %s=%.40q, which is not an integer", name, a.value)
	}
	return n, nil
}

func errValue(name, value string) error {
	return fmt.Errorf("has %s=%.40q, which is not a value for it", name, value)
}

func errTooMany(what string, most int) error {
	return fmt.Errorf("has one of %s too many: at most %d are read", what, most)
}

// maxInteger is the largest number taken in. HLSbis allows up to 2^64-1; this leaves room
// for sums of two in an int64, and 146 billion years of one-second segments.
const maxInteger = 1<<62 - 1

var errInteger = errors.New("not a decimal integer within range")

// parseInteger reads digits alone: no sign, no space, no exponent.
func parseInteger(s string) (int64, error) {
	if s == "" || len(s) > 20 {
		return 0, errInteger
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, errInteger
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxInteger {
		return 0, errInteger
	}
	return int64(n), nil
}

// isDecimal says whether s is a "decimal-floating-point": digits and at most one point.
func isDecimal(s string) bool {
	whole, fraction, point := strings.Cut(s, ".")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	return len(s) <= 32 && digits(whole) && digits(fraction) && (whole != "" || point && fraction != "")
}
