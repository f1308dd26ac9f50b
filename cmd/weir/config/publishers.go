package config

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// A Publisher is a line of a publishers' file:
// NAME SECRET PATTERN[,PATTERN] [LIMIT=VALUE ...].
type Publisher struct {
	Name     string
	Secret   string
	Channels []string // channel names; * stands for any run of characters

	// Limits; 0 is none of its own.
	MaxUpload   Size // of one file
	Rate        Rate // on average
	MaxChannels int  // at once, of those it began
	Uploads     int  // at once
}

// String names the publisher without the secret, so that no log prints it.
func (p Publisher) String() string {
	s := p.Name + " " + strings.Join(p.Channels, ",")
	for _, l := range limits {
		if v := l.show(&p); v != "" {
			s += " " + l.name + "=" + v
		}
	}
	return s
}

// GoString is String, for %#v.
func (p Publisher) GoString() string { return p.String() }

// Rate is bits a second. It is written with its unit, as in 20Mbit/s.
type Rate int64

var rateUnits = []struct {
	name string
	bits Rate
}{{"Gbit/s", 1e9}, {"Mbit/s", 1e6}, {"kbit/s", 1e3}}

// The bounds of a Rate: less is no video, more no encoder.
const minRate, maxRate = Rate(64e3), Rate(1e12)

// ParseRate reads a Rate.
func ParseRate(s string) (Rate, error) {
	for _, u := range rateUnits {
		if digits, ok := strings.CutSuffix(s, u.name); ok {
			n, err := strconv.ParseUint(digits, 10, 63)
			if err != nil || Rate(n) > math.MaxInt64/u.bits {
				break
			}
			if r := Rate(n) * u.bits; r < minRate || r > maxRate {
				return 0, errorf("%s is out of range: allowed is %s to %s", s, minRate, maxRate)
			}
			return Rate(n) * u.bits, nil
		}
	}
	return 0, errorf("%q is no rate: a rate is a whole number and its unit: kbit/s, Mbit/s or Gbit/s, as in 20Mbit/s", s)
}

// String writes r in the largest unit that leaves no fraction.
func (r Rate) String() string {
	for _, u := range rateUnits {
		if r != 0 && r%u.bits == 0 {
			return strconv.FormatInt(int64(r/u.bits), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(r), 10) + "bit/s"
}

// Bytes returns r in bytes a second.
func (r Rate) Bytes() int64 { return int64(r / 8) }

// A limit is what may stand behind a publisher's patterns.
type limit struct {
	name string
	set  func(p *Publisher, value string) error
	show func(p *Publisher) string // "": not set
}

var limits = []limit{
	{"max_upload", func(p *Publisher, v string) (err error) {
		if p.MaxUpload, err = ParseSize(v); err == nil && (p.MaxUpload < KiB || p.MaxUpload > GiB) {
			err = errorf("%s is out of range: allowed is 1KiB to 1GiB", v)
		}
		return err
	}, func(p *Publisher) string { return shown(p.MaxUpload, Size.String) }},
	{"rate", func(p *Publisher, v string) (err error) {
		p.Rate, err = ParseRate(v)
		return err
	}, func(p *Publisher) string { return shown(p.Rate, Rate.String) }},
	{"channels", func(p *Publisher, v string) error { return count(&p.MaxChannels, v, 100_000) },
		func(p *Publisher) string { return shown(p.MaxChannels, strconv.Itoa) }},
	{"uploads", func(p *Publisher, v string) error { return count(&p.Uploads, v, 100_000) },
		func(p *Publisher) string { return shown(p.Uploads, strconv.Itoa) }},
}

func shown[T comparable](v T, text func(T) string) string {
	var zero T
	if v == zero {
		return ""
	}
	return text(v)
}

func count(into *int, v string, most int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		return errorf("%q is not allowed: allowed is 1 to %d", v, most)
	}
	*into = n
	return nil
}

var channelPattern = regexp.MustCompile(`^[a-z0-9_*-]{1,64}$`)

const publisherForm = "NAME SECRET PATTERN[,PATTERN] [LIMIT=VALUE ...]"

// ParsePublishers reads a publishers' file: one NAME SECRET PATTERN[,PATTERN]
// a line, with limits behind it; # begins a comment. Errors name file and
// line, never a secret.
func ParsePublishers(file string, text []byte) ([]Publisher, error) {
	var out []Publisher
	names, secrets := map[string]int{}, map[string]int{}
	bad := eachLine(file, text, func(line int, f []string) error {
		if len(f) < 3 {
			return errorf("%d words instead of 3: a line is %s, as in: studio 4f1c2b9a8e7d sport-*,news rate=20Mbit/s", len(f), publisherForm)
		}
		if err := checkPair(line, f[0], f[1], names, secrets); err != nil {
			return err
		}
		p := Publisher{Name: f[0], Secret: f[1], Channels: strings.Split(f[2], ",")}
		for _, c := range p.Channels {
			if !channelPattern.MatchString(c) {
				return errorf("%q is no channel pattern: allowed are a-z, 0-9, _, - and *, as in news or sport-*", c)
			}
		}
		if err := p.limit(f[3:]); err != nil {
			return err
		}
		out = append(out, p)
		return nil
	})
	return out, notEmpty(file, bad, len(out), "publisher", publisherForm)
}

// limit takes in the words behind the patterns.
func (p *Publisher) limit(words []string) error {
	given := map[string]bool{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		i := -1
		var names []string
		for j, l := range limits {
			names = append(names, l.name)
			if l.name == name {
				i = j
			}
		}
		switch {
		case !ok || i < 0:
			return errorf("%s: %q is no limit: allowed are %s, as in rate=20Mbit/s", p.Name, name, strings.Join(names, ", "))
		case given[name]:
			return errorf("%s: %s is given twice", p.Name, name)
		}
		given[name] = true
		if err := limits[i].set(p, value); err != nil {
			return errorf("%s: %s: %w", p.Name, name, err)
		}
	}
	return nil
}
