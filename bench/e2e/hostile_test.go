package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"weir/bench"
	"weir/internal/wire"
	"weir/playlist"
)

var errNotYet = errors.New("not yet")

// A bookmark is a place in what a node has said so far.
type bookmark struct {
	p    *process
	from int
}

func (h *house) bookmark(node string) bookmark {
	p := h.nodes[node]
	p.mu.Lock()
	defer p.mu.Unlock()
	return bookmark{p, p.out.Len()}
}

func (b bookmark) text() string {
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	return string(b.p.out.Bytes()[b.from:])
}

// says fails the test unless the node said a line that holds all parts, since
// the bookmark and within two seconds.
func (b bookmark) says(t *testing.T, parts ...string) {
	t.Helper()
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(20 * time.Millisecond) {
	lines:
		for line := range strings.Lines(b.text()) {
			for _, p := range parts {
				if !strings.Contains(line, p) {
					continue lines
				}
			}
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s said no line with %q, but:\n%s", b.p.name, parts, maskedText(b.text()))
			return
		}
	}
}

// A reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// is fails the test unless the reply has the status, and its text begins with
// the reason code.
func (r reply) is(t *testing.T, status int, reason string) {
	t.Helper()
	if r.status != status || reason != "" && !strings.HasPrefix(r.body, reason+": ") {
		t.Errorf("answered %d %.200q, want %d with the reason %q", r.status, r.body, status, reason)
	}
}

// A line is a bare connection, for requests that no client library would send.
type line struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, base string) *line {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	return &line{t, c, bufio.NewReader(c)}
}

// say sends text with CRLF line ends. That the other side hangs up meanwhile is
// for hear to find out.
func (l *line) say(format string, args ...any) {
	_, _ = io.WriteString(l, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\r\n"))
}

// hear reads one answer. "100 Continue" is an answer of its own.
func (l *line) hear() reply {
	l.t.Helper()
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		l.t.Errorf("no answer: %v", err)
		return reply{}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		l.t.Errorf("half an answer: %v", err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// raw sends one request whose target goes out as it stands.
func raw(t *testing.T, base, method, target, fields string) reply {
	t.Helper()
	l := dial(t, base)
	l.say("%s ", method)
	_, _ = io.WriteString(l, target)
	l.say(" HTTP/1.1\nHost: weir.example\n%sContent-Length: 0\nConnection: close\n\n", fields)
	return l.hear()
}

// send sends one request with a client that behaves.
func send(t *testing.T, method, url string, body io.Reader, pairs ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == "Host" {
			req.Host = pairs[i+1]
		}
		req.Header.Set(pairs[i], pairs[i+1])
	}
	c := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	resp, err := c.Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", method, maskedText(url), err)
		return reply{}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		t.Errorf("%s %s: %v", method, maskedText(url), err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

var bearer = []string{"Authorization", "Bearer " + publishKey}

// clip is an encoder that pushes one rendition of the embedded clip to a
// channel, as fast as it is told to step.
func (h *house) clip(t *testing.T, channel string) *bench.Encoder {
	t.Helper()
	base, err := url.Parse(h.ingest)
	if err != nil {
		t.Fatal(err)
	}
	c, err := wire.NewClient(wire.ClientOptions{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	e, err := bench.NewEncoder(bench.EncoderOptions{Ingest: c, Channel: channel, Key: publishKey, Rungs: 1, Continuous: true})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// rendition of the clip, as the origin names it.
const rendition = "180p"

// media is where everybody finds the clip's media playlist, below a base URL.
func media(channel string) string { return "/live/" + channel + "/" + rendition + "/index.m3u8" }

// listed returns the clip's media playlist, as the origin has it now.
func (h *house) listed(t *testing.T, channel string) *playlist.Media {
	t.Helper()
	text, err := h.get(h.origin + media(channel))
	if err != nil {
		t.Fatalf("the playlist of %s: %v", channel, err)
	}
	m, err := playlist.ParseMedia([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// holdings returns the bytes of all that a channel lists, by name.
func (h *house) holdings(t *testing.T, channel string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, s := range h.listed(t, channel).Segments {
		for _, uri := range []string{s.URI, s.Map.URI} {
			if s.Gap && uri == s.URI || out[uri] != "" {
				continue
			}
			body, err := h.get(h.origin + "/live/" + channel + "/" + rendition + "/" + uri)
			if err != nil {
				t.Errorf("%s of %s: %v", uri, channel, err)
			}
			out[uri] = body
		}
	}
	return out
}

// keeps fails the test unless the channel still serves what it held, byte for
// byte.
func (h *house) keeps(t *testing.T, channel string, held map[string]string) {
	t.Helper()
	for uri, body := range held {
		got, err := h.get(h.origin + "/live/" + channel + "/" + rendition + "/" + uri)
		if err != nil || got != body {
			t.Errorf("%s of %s was %d bytes and is now %d: %v", uri, channel, len(body), len(got), err)
		}
	}
}

// quiet fails the test if a node said a secret, died, or caught a panic.
func (h *house) quiet(t *testing.T, secrets ...string) {
	t.Helper()
	for name, p := range h.nodes {
		select {
		case <-p.done:
			t.Errorf("%s is dead: %v", name, p.err)
			continue
		default:
		}
		if n := h.metric(name, "weir_http_panics_total"); n != 0 {
			t.Errorf("%s caught %v panics", name, n)
		}
		said := (bookmark{p, 0}).text()
		for _, s := range append(secrets, publishKey, pullKey) {
			if i := strings.Index(said, s); i >= 0 {
				t.Errorf("%s said the secret %.12s... in its log: %.300q", name, s, said[max(0, i-200):])
			}
		}
	}
}
