package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// A kind is what a string value must look like.
type kind struct {
	example string
	parse   func(string) error
}

const (
	urlExample  = "an http URL, as in http://origin1:8080"
	textExample = "a text of 1 to 1024 printable characters"
)

var kinds = map[string]kind{
	"viewers":   {"an address to listen on, as in :8080 or 127.0.0.1:8080, or none", checkViewers},
	"listen":    {"an address to listen on, as in :8080 or 127.0.0.1:8080", checkListen},
	"hostport":  {"a host and port, as in edge2.example:7946", checkHostPort},
	"url":       {urlExample, checkURL},
	"weborigin": {"the origin of a page, as in https://player.example", checkWebOrigin},
	"host":      {"a host name without a port, as in weir.example", checkHost},
	"name":      {"a name of 1 to 64 letters, digits, dots, _ and -", checkName},
	"rendition": {"the name of a rendition, as in 720p", checkRendition},
	"file":      {"the name of a file", checkFile},
	"dir":       {"the name of a directory", checkFile},
	"text":      {textExample, checkText},

	"originhost": {"upstream or a host, as in media.example", checkOriginHost},
	"path":       {"a path, as in /health", checkPath},
	"hedge":      {"auto, off or a duration, as in 200ms", checkHedge},
}

// text checks a string value by its tag and returns it as it is to be kept.
func (s *source) text(text string, tag reflect.StructTag) (string, error) {
	if enum := tag.Get("enum"); enum != "" {
		words := strings.Split(enum, ",")
		for _, w := range words {
			if text == w {
				return text, nil
			}
		}
		err := errorf("%q is not allowed: allowed are %s", text, strings.Join(words, ", "))
		if near := nearest(text, words); near != "" {
			err = errorf("%w; did you mean %s?", err, near)
		}
		return "", err
	}
	k, ok := kinds[tag.Get("kind")]
	if !ok {
		panic("BUG: config: a string without enum or known kind: " + string(tag))
	}
	if err := k.parse(text); err != nil {
		return "", err
	}
	if k := tag.Get("kind"); (k == "file" || k == "dir") && !filepath.IsAbs(text) {
		return filepath.Join(s.dir, text), nil
	}
	return text, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errorf("%q is no duration: a duration is a number and its unit: ms, s, m or h, as in 500ms, 2s or 1h30m", s)
	}
	return d, nil
}

func parseInt(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, errorf("%q is no whole number", s)
	}
	return n, nil
}

// parsePrefix reads a range of addresses; one address is the range of itself.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errorf("%q is no address range: allowed are 10.0.0.0/8, 2001:db8::/32 or a single address", s)
	}
	if p.Addr().Is4In6() { // addresses are compared as IPv4, so that it would hold none
		return netip.Prefix{}, errorf("%q is a range of IPv4 addresses written as IPv6: write it as IPv4", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, errorf("%q has bits set behind its /%d: did you mean %s?", s, p.Bits(), p.Masked())
	}
	return p, nil
}

// checkViewers is checkListen, or the word for no listener.
func checkViewers(s string) error {
	if s == NoListener {
		return nil
	}
	if checkListen(s) != nil {
		return errorf("%q is no address to listen on: allowed are :8080 (all addresses), 127.0.0.1:8080 or [::1]:8080, and none where only tls.listen is served; port 0 takes any free one", s)
	}
	return nil
}

// checkListen allows only addresses, because a name may resolve to another
// machine's, or to none at the moment the node starts.
func checkListen(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		err = checkPort(port, 0)
	}
	if err == nil && host != "" && host != "localhost" {
		_, err = netip.ParseAddr(host)
	}
	if err != nil {
		return errorf("%q is no address to listen on: allowed are :8080 (all addresses), 127.0.0.1:8080 or [::1]:8080; port 0 takes any free one", s)
	}
	return nil
}

// checkRendition holds to the names under which the origin shows renditions.
func checkRendition(s string) error {
	if !renditionName.MatchString(s) {
		return errorf("%q is no name of a rendition: allowed are 1 to 64 of A-Z, a-z, 0-9, . _ - and ~, as viewers see it between /live/CHANNEL/ and /index.m3u8", s)
	}
	return nil
}

func checkHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		err = checkPort(port, 1)
	}
	if err == nil {
		err = checkHost(host)
	}
	if err != nil {
		return errorf("%q is no host and port: allowed are edge2.example:7946, 10.0.0.2:7946 or [2001:db8::2]:7946", s)
	}
	return nil
}

func checkPort(s string, least int) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > 65535 || s != strconv.Itoa(n) {
		return errorf("%q is no port: allowed is %d to 65535", s, least)
	}
	return nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?$`)

func checkHost(s string) error {
	if _, err := netip.ParseAddr(s); err == nil || hostName.MatchString(s) {
		return nil
	}
	return errorf("%q is no host: allowed is a name or address without a port, as in weir.example", s)
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errorf("not a URL: allowed is " + urlExample)
	case u.User != nil: // not echoed: it holds a password
		return errorf("a URL must not hold a user or password: put the origin's key into a file and name it in origin_key_file")
	case u.Scheme != "http" && u.Scheme != "https" || checkHost(u.Hostname()) != nil || u.Port() != "" && checkPort(u.Port(), 1) != nil:
		return errorf("%q is no URL to ask: allowed is "+urlExample, s)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return errorf("%q: a query or fragment is not allowed here", s)
	}
	return nil
}

func checkWebOrigin(s string) error {
	u, err := url.Parse(s)
	if err == nil && u.User == nil && u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.Host != "" && s == u.Scheme+"://"+u.Host {
		return nil
	}
	return errorf("%q is no origin of a page: allowed is scheme://host[:port] without a path, as in https://player.example", s)
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func checkName(s string) error {
	if !plainName.MatchString(s) {
		return errorf("%q is not allowed: a name is 1 to 64 letters, digits, dots, _ and -, beginning with a letter or digit", s)
	}
	return nil
}

func checkFile(s string) error {
	if s == "" || strings.ContainsAny(s, "\x00\n\r") {
		return errorf("%q is no file name; delete the line if there is none", s)
	}
	return nil
}

func checkText(s string) error {
	if s == "" || len(s) > 1024 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errorf("%q is not allowed: %s", s, textExample)
	}
	return nil
}
