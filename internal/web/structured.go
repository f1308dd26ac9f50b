package web

import "strings"

// sfKind is the type of a structured field's value (RFC 9651 section 3).
type sfKind uint8

const (
	sfBool sfKind = iota
	sfInt
	sfDecimal
	sfString
	sfToken
	sfOther // byte sequence, date, display string, inner list: read over, never used
)

// An sfValue is one value; bool and integer are in n, string and token in s.
type sfValue struct {
	kind sfKind
	n    int64
	s    string
}

type sfMember struct {
	key string
	sfValue
}

// parseDictionary reads a Dictionary (RFC 9651 section 4.2.2). The
// specification allows no half measures: one error and the whole is void.
// Parameters are checked and dropped.
func parseDictionary(s string) ([]sfMember, bool) {
	p := sfParser{strings.Trim(s, " ")}
	var members []sfMember
	for p.s != "" {
		m := sfMember{sfValue: sfValue{kind: sfBool, n: 1}}
		var ok bool
		if m.key, ok = p.key(); !ok {
			return nil, false
		}
		if p.take('=') {
			if m.sfValue, ok = p.itemOrList(); !ok {
				return nil, false
			}
		}
		if !p.params() {
			return nil, false
		}
		members = putMember(members, m)
		p.s = strings.TrimLeft(p.s, " \t")
		if p.s == "" {
			return members, true
		}
		if !p.take(',') {
			return nil, false
		}
		if p.s = strings.TrimLeft(p.s, " \t"); p.s == "" {
			return nil, false // a comma at the end
		}
	}
	return members, true
}

// putMember appends m, or overwrites the value of the member of the same key.
func putMember(members []sfMember, m sfMember) []sfMember {
	for i := range members {
		if members[i].key == m.key {
			members[i] = m
			return members
		}
	}
	return append(members, m)
}

type sfParser struct{ s string }

func (p *sfParser) take(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// span cuts off the longest prefix whose bytes are all in.
func (p *sfParser) span(in func(c byte) bool) string {
	i := 0
	for i < len(p.s) && in(p.s[i]) {
		i++
	}
	out := p.s[:i]
	p.s = p.s[i:]
	return out
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { return isLower(c | 0x20) }

func (p *sfParser) key() (string, bool) {
	if p.s == "" || !isLower(p.s[0]) && p.s[0] != '*' {
		return "", false
	}
	return p.span(func(c byte) bool {
		return isLower(c) || isDigit(c) || strings.IndexByte("_-.*", c) >= 0
	}), true
}

// params reads over the parameters of a value.
func (p *sfParser) params() bool {
	for p.take(';') {
		p.s = strings.TrimLeft(p.s, " ")
		if _, ok := p.key(); !ok {
			return false
		}
		if p.take('=') {
			if _, ok := p.bare(); !ok {
				return false
			}
		}
	}
	return true
}

func (p *sfParser) itemOrList() (sfValue, bool) {
	if !p.take('(') {
		return p.bare()
	}
	for {
		p.s = strings.TrimLeft(p.s, " ")
		if p.take(')') {
			return sfValue{kind: sfOther}, true
		}
		if _, ok := p.bare(); !ok || !p.params() {
			return sfValue{}, false
		}
		if p.s == "" || p.s[0] != ' ' && p.s[0] != ')' {
			return sfValue{}, false
		}
	}
}

func (p *sfParser) bare() (sfValue, bool) {
	if p.s == "" {
		return sfValue{}, false
	}
	switch c := p.s[0]; {
	case isDigit(c), c == '-':
		return p.number()
	case isAlpha(c), c == '*':
		return sfValue{kind: sfToken, s: p.span(func(c byte) bool {
			return isAlpha(c) || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~:/", c) >= 0
		})}, true
	case c == '"':
		p.s = p.s[1:]
		return p.str()
	case c == '?':
		p.s = p.s[1:]
		if p.take('1') {
			return sfValue{kind: sfBool, n: 1}, true
		}
		return sfValue{kind: sfBool}, p.take('0')
	case c == '@':
		p.s = p.s[1:]
		v, ok := p.number()
		return sfValue{kind: sfOther}, ok && v.kind == sfInt
	case c == ':':
		p.s = p.s[1:]
		p.span(func(c byte) bool { return isAlpha(c) || isDigit(c) || strings.IndexByte("+/=", c) >= 0 })
		return sfValue{kind: sfOther}, p.take(':')
	case strings.HasPrefix(p.s, `%"`):
		p.s = p.s[2:]
		p.span(func(c byte) bool { return c >= ' ' && c < 0x7f && c != '"' })
		return sfValue{kind: sfOther}, p.take('"')
	}
	return sfValue{}, false
}

func (p *sfParser) number() (sfValue, bool) {
	neg := p.take('-')
	whole := p.span(isDigit)
	if p.take('.') {
		frac := p.span(isDigit)
		return sfValue{kind: sfDecimal}, len(whole) > 0 && len(whole) <= 12 && len(frac) > 0 && len(frac) <= 3
	}
	n, ok := digits(whole)
	if neg {
		n = -n
	}
	return sfValue{kind: sfInt, n: n}, ok && len(whole) <= 15
}

func (p *sfParser) str() (sfValue, bool) {
	var b strings.Builder
	for p.s != "" {
		c := p.s[0]
		p.s = p.s[1:]
		switch {
		case c == '"':
			return sfValue{kind: sfString, s: b.String()}, true
		case c == '\\':
			if p.s == "" || p.s[0] != '"' && p.s[0] != '\\' {
				return sfValue{}, false
			}
			c = p.s[0]
			p.s = p.s[1:]
		case c < ' ' || c >= 0x7f:
			return sfValue{}, false
		}
		b.WriteByte(c)
	}
	return sfValue{}, false
}
