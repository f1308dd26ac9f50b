package origin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"

	"weir/internal/web"
)

// The reasons for which an upload is refused, as clients, logs and metrics see them.
const (
	reasonPath        = "bad_path"
	reasonNoKey       = "publish_key_missing"
	reasonKey         = "publish_key"
	reasonClosed      = "publish_closed"
	reasonPattern     = "publish_channel"
	reasonChannels    = "too_many_channels"
	reasonBusy        = "too_many_uploads"
	reasonMemory      = "memory_full"
	reasonTooLarge    = "too_large"
	reasonCut         = "upload_cut"
	reasonStalled     = "upload_stalled"
	reasonEmpty       = "empty"
	reasonType        = "bad_type"
	reasonPlaylist    = "bad_playlist"
	reasonOutside     = "uri_outside"
	reasonUnsupported = "unsupported"
	reasonUnknown     = "unknown_channel"
	reasonNoInit      = "no_init"
	reasonBudget      = "channel_memory"
	reasonRate        = "publisher_rate"
	reasonUploads     = "publisher_uploads"
	reasonOwn         = "publisher_channels"
)

// authorize decides whether req may do anything at t, and returns by whom it is sent.
//
// FFmpeg can carry a key in three ways (docs: the path always works; -headers sends a
// Bearer token; user:password in the URL makes it wait for a challenge). A key in the path
// counts alone.
func (o *Origin) authorize(req *web.Request, t target) (*Publisher, error) {
	var all []Publisher
	if o.opts.Publishers != nil {
		all = o.opts.Publishers()
	}
	if len(all) == 0 {
		if o.opts.OpenIngest {
			return &Publisher{Name: "anybody"}, nil
		}
		return nil, refuse(http.StatusForbidden, reasonClosed, "nobody may publish: no publisher key is configured (ingest.keys_file)")
	}
	secret, given := t.key, t.keyed
	if !given {
		secret, given = credentials(req.Header.Get("Authorization"))
	}
	if !given {
		return nil, challenge(reasonNoKey, "channel %s: a publisher key is needed, in the path (/ingest/k/KEY/...), as Bearer token or as password", t.channel)
	}
	who, may := match(all, secret, t.channel)
	const unknown = "channel %s: unknown publisher key: no line of ingest.keys_file has it"
	switch {
	case may:
		return who, nil
	case who != nil:
		return nil, refuse(http.StatusForbidden, reasonPattern, "channel %s: the key of publisher %s is not for it (its patterns in ingest.keys_file)", t.channel, who.Name)
	case t.keyed:
		return nil, refuse(http.StatusForbidden, reasonKey, unknown, t.channel)
	}
	return nil, challenge(reasonKey, unknown, t.channel)
}

// match compares secret with those of all publishers, in a time that tells nothing of where
// they differ. nil: nobody has it; may: who has it may publish to channel.
func match(all []Publisher, secret, channel string) (who *Publisher, may bool) {
	got := sha256.Sum256([]byte(secret))
	for i := range all {
		p := &all[i]
		want := sha256.Sum256([]byte(p.Secret))
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 && p.Secret != "" {
			if allowed := p.allows(channel); allowed && !may || who == nil {
				who, may = p, allowed
			}
		}
	}
	return who, may
}

func (p *Publisher) allows(channel string) bool {
	if len(p.Channels) == 0 {
		return true
	}
	for _, pattern := range p.Channels {
		if glob(pattern, channel) {
			return true
		}
	}
	return false
}

// glob matches s against a pattern in which "*" stands for any run of characters.
func glob(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, head)
	if !ok {
		return false
	}
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], after
	}
}

// credentials reads an Authorization field. Of Basic the password is the key; the user may
// be any.
func credentials(field string) (secret string, ok bool) {
	scheme, value, _ := strings.Cut(field, " ")
	value = strings.TrimSpace(value)
	switch {
	case strings.EqualFold(scheme, "Bearer") && value != "":
		return value, true
	case strings.EqualFold(scheme, "Basic"):
		p, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return "", false
		}
		_, secret, ok = strings.Cut(string(p), ":")
		return secret, ok
	}
	return "", false
}

func refuse(status int, reason, format string, args ...any) *web.Error {
	e := web.Errorf(status, format, args...)
	e.Reason = reason
	return e
}

// challenge is a 401 in the one form FFmpeg understands: it repeats the request with its
// credentials only when asked for Basic.
func challenge(reason, format string, args ...any) *web.Error {
	e := refuse(http.StatusUnauthorized, reason, format, args...)
	e.Header = web.NewHeader("WWW-Authenticate", `Basic realm="weir ingest", charset="UTF-8"`)
	return e
}
