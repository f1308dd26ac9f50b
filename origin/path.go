package origin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"path"
	"strings"
)

// Bounds of what an encoder may name.
const (
	maxName = 64  // bytes of a channel's or rendition's name
	maxPath = 512 // bytes of a pushed file's path inside its channel
)

// A target is what an ingest request names.
type target struct {
	key     string // the publisher key in the path, "" without
	keyed   bool   // the path has the form /ingest/k/{key}/...
	channel string
	path    string // inside the channel, without a leading slash
	by      string // name of the publisher, once that is known
	limits  Limits // of the publisher
	local   bool   // it came through LocalIngest
}

var errPath = errors.New("the path must be /ingest/{channel}/{file} or /ingest/k/{key}/{channel}/{file}, without empty, dot or hidden parts")

// parseTarget takes a request's path apart. The path has been through web.CleanPath; what
// would still be ambiguous is refused here too, for callers that have no wire.
func parseTarget(p string) (target, error) {
	rest, ok := strings.CutPrefix(p, "/ingest/")
	if !ok {
		return target{}, errPath
	}
	after, keyed := strings.CutPrefix(rest, "k/")
	if !keyed {
		return place(rest)
	}
	key, rest, ok := strings.Cut(after, "/")
	t := target{key: key, keyed: true}
	if !ok || key == "" {
		return t, errPath
	}
	in, err := place(rest)
	t.channel, t.path = in.channel, in.path
	return t, err
}

// parseLocal is parseTarget for /ingest/{channel}/{file} alone.
func parseLocal(p string) (target, error) {
	rest, ok := strings.CutPrefix(p, "/ingest/")
	if !ok {
		return target{}, errPath
	}
	return place(rest)
}

// place takes {channel}/{file} apart.
func place(rest string) (t target, err error) {
	t.channel, t.path, _ = strings.Cut(rest, "/")
	switch {
	case !validChannel(t.channel):
		bad := t.channel
		t.channel = ""
		return t, errors.New("channel " + quote(bad) + ": a name is a-z, 0-9, - and _, at most 64 of them, and begins with a letter or digit")
	case len(t.path) > maxPath:
		return t, errors.New("the path is longer than 512 bytes")
	case !cleanRelative(t.path):
		return t, errPath
	}
	return t, nil
}

// quote shortens and quotes what a client sent, for errors.
func quote(s string) string {
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return "\"" + strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '"' {
			return '?'
		}
		return r
	}, s), "?") + "\""
}

func validChannel(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '-' || s[0] == '_' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// cleanRelative reports whether p is a path of plain parts: none is empty or made of dots,
// and no byte is a control character or a backslash.
func cleanRelative(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	for i := 0; i < len(p); i++ {
		if p[i] < ' ' || p[i] == 0x7f || p[i] == '\\' {
			return false
		}
	}
	return true
}

var errOutside = errors.New("lies outside the channel")

// resolve returns the path inside the channel that uri means in the playlist at from
// (RFC 3986 5.2), without query and fragment: FFmpeg sends a query with uploads only where
// it was made to, and we tell files by path. What leads out of the channel is an error.
func resolve(channel, from, uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Opaque != "" {
		return "", errOutside
	}
	if u.Scheme != "" || u.Host != "" || u.User != nil || strings.HasPrefix(uri, "//") {
		return "", errOutside
	}
	p := u.Path
	if strings.HasPrefix(p, "/") {
		var ok bool
		if p, ok = strings.CutPrefix(p, "/ingest/"+channel+"/"); !ok {
			return "", errOutside
		}
	} else {
		p = path.Dir(from) + "/" + p
	}
	var parts []string
	for part := range strings.SplitSeq(p, "/") {
		switch part {
		case ".":
		case "..":
			if len(parts) == 0 {
				return "", errOutside
			}
			parts = parts[:len(parts)-1]
		default:
			parts = append(parts, part)
		}
	}
	p = strings.Join(parts, "/")
	if len(p) > maxPath || !cleanRelative(p) {
		return "", errOutside
	}
	return p, nil
}

// isPlaylist reports whether a pushed file is a playlist, by its name.
func isPlaylist(p string) bool {
	return strings.HasSuffix(p, ".m3u8") || strings.HasSuffix(p, ".m3u")
}

// renditionName returns the name under which viewers see the rendition whose playlist is
// pushed at p. It is p less "/index.m3u8" or ".m3u8", and "main" where nothing is left.
//
// A viewer's URL has one part for the rendition, and not every byte an encoder may use is
// fit for it. So "/" becomes "~", and a name that had to be changed in any other way
// (characters outside A-Z a-z 0-9 . _ -, a "~" of its own, a dot in front, more than 64
// bytes) carries a mark of the true path, so that two paths are never one name.
func renditionName(p string) string {
	name, ok := strings.CutSuffix(p, "/index.m3u8")
	if !ok {
		name = strings.TrimSuffix(strings.TrimSuffix(p, ".m3u8"), ".m3u")
		if name == "index" {
			name = ""
		}
	}
	if name == "" {
		return "main"
	}
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		case r == '/':
			return '~'
		}
		return '_'
	}, name)
	if strings.ReplaceAll(safe, "~", "/") == name && safe[0] != '.' && len(safe) <= maxName {
		return safe
	}
	return marked(safe, p)
}

// validRendition reports whether viewers can see a rendition under this name.
func validRendition(name string) bool {
	return name != "" && len(name) <= maxName && name[0] != '.' &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~") == ""
}

// marked returns a safe name that is p's alone.
func marked(safe, p string) string {
	sum := sha256.Sum256([]byte(p))
	return strings.TrimLeft(safe, ".")[:min(len(strings.TrimLeft(safe, ".")), maxName-9)] + "~" + hex.EncodeToString(sum[:4])
}
