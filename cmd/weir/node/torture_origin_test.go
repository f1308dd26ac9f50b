package node

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/web"
)

// A thing is what a tortured origin has under one path, in versions. What it
// says of itself does not change, so that it is known how old it may be shown.
type thing struct {
	id   int
	path string
	rule rule
	size int
	tags string // "strong", "weak", ""
	lang bool   // it varies on X-Lang
	code bool   // it varies on Accept-Encoding
	part bool   // ranges of it are answered

	mu     sync.Mutex
	born   []time.Time // guarded by mu: when each version came
	least  []least     // guarded by mu
	failed time.Time   // guarded by mu: when an origin last failed to answer
}

// least says that whoever asks after a moment gets this version or a later one.
type least struct {
	at      time.Time
	version int
}

// A rule is what a thing says of caching, and what that allows.
type rule struct {
	fields string
	status int
	life   time.Duration // for which a version may be shown after the next was born
	own    bool          // nobody but who asked may get it
	heuri  bool          // a tenth of its age is its life
}

var tortureRules = []rule{
	{fields: "Cache-Control: max-age=1", life: time.Second},
	{fields: "Cache-Control: max-age=2, stale-while-revalidate=2", life: 4 * time.Second},
	{fields: "Cache-Control: max-age=1\r\nCache-Control: stale-if-error=4", life: 5 * time.Second},
	{fields: "Cache-Control: max-age=100, s-maxage=1", life: time.Second},
	{fields: "Cache-Control: no-cache"},
	{fields: "Cache-Control: no-store", own: true},
	{fields: "Cache-Control: private, max-age=60", own: true},
	{fields: "Cache-Control: max-age=100", life: 100 * time.Second},
	{fields: "Cache-Control: max-age=100", life: 100 * time.Second},
	{fields: "Cache-Control: max-age=1, must-revalidate", life: time.Second},
	{heuri: true},
	{fields: "Cache-Control: max-age=soon"},
	{fields: "Expires: +2", life: 2 * time.Second},
	{fields: "Expires: 0"},
	{fields: "Cache-Control: max-age=100, immutable", life: 100 * time.Second},
	{fields: "Cache-Control: max-age=5\r\nAge: 4", life: time.Second},
	{fields: "Cache-Control: max-age=100\r\nCDN-Cache-Control: max-age=1", life: time.Second},
	{fields: "Cache-Control: public"},
	{fields: "Cache-Control: max-age=2", status: 404, life: 2 * time.Second},
	{fields: "Cache-Control: max-age=2", status: 302, life: 2 * time.Second},
	{fields: "Cache-Control: max-age=100, no-cache=\"Set-Cookie\"", life: 100 * time.Second},
}

// A told is what a body, and the field X-Body, say of themselves.
type told struct {
	id, version int
	variant     byte
	client      int
}

func (o told) String() string {
	return fmt.Sprintf("%05d %06d %c %05d", o.id, o.version, o.variant, o.client)
}

func readTold(s string) (o told, ok bool) {
	n, _ := fmt.Sscanf(s, "%d %d %c %d", &o.id, &o.version, &o.variant, &o.client)
	return o, n == 4
}

func (th *thing) length(version int) int { return th.size + version*37%97 }

// body is a line of 32 bytes again and again, each with its number.
func (th *thing) body(o told) []byte {
	n := th.length(o.version)
	b := make([]byte, 0, n+32)
	line := fmt.Appendf(nil, "%s %010d\n", o, 0)
	for len(b) < n {
		b = append(b, line...)
		for i := len(line) - 2; ; i-- { // count on
			if line[i]++; line[i] <= '9' {
				break
			}
			line[i] = '0'
		}
	}
	return b[:n]
}

func (th *thing) tag(o told) string {
	t := fmt.Sprintf("\"%d-%d-%c-%d\"", o.id, o.version, o.variant, o.client)
	switch th.tags {
	case "weak":
		return "W/" + t
	case "":
		return ""
	}
	return t
}

func readTag(tag string) (o told, ok bool) {
	n, _ := fmt.Sscanf(strings.Trim(strings.TrimPrefix(tag, "W/"), `"`), "%d-%d-%c-%d", &o.id, &o.version, &o.variant, &o.client)
	return o, n == 4
}

// variant is what a request with these fields is to get: a letter.
func (th *thing) variant(h http.Header) byte {
	v := byte('a')
	if th.lang && h.Get("X-Lang") == "b" {
		v++
	}
	if th.code && strings.Contains(h.Get("Accept-Encoding"), "gzip") {
		v += 2
	}
	return v
}

func (th *thing) now() int {
	th.mu.Lock()
	defer th.mu.Unlock()
	return len(th.born) - 1
}

func (th *thing) change() int {
	th.mu.Lock()
	defer th.mu.Unlock()
	th.born = append(th.born, time.Now())
	return len(th.born) - 1
}

func (th *thing) fail() {
	th.mu.Lock()
	defer th.mu.Unlock()
	th.failed = time.Now()
}

func newThings(r *rand.Rand, n int) (all []*thing) {
	for id := range n {
		th := &thing{id: id, rule: tortureRules[id%len(tortureRules)], part: r.IntN(3) > 0, lang: r.IntN(4) == 0, code: r.IntN(4) == 0,
			tags: [...]string{"strong", "strong", "weak", ""}[r.IntN(4)], size: [...]int{1, 40, 3000, 70_000, 300_000, 1_300_000}[r.IntN(6)]}
		th.path = fmt.Sprintf("/t/%d%s", id, [...]string{"", ".ts", ".mp4", ".txt?a=1"}[r.IntN(4)])
		th.born = []time.Time{time.Now()}
		if th.rule.heuri {
			th.tags = "strong" // its date does not tell versions apart
		}
		all = append(all, th)
	}
	return all
}

// A tormentor is an origin of things that behaves in every way that servers do,
// but for one: it never tells an untruth that nobody could find out.
type tormentor struct {
	t      *testing.T
	things []*thing
	line   net.Listener

	mu   sync.Mutex
	down bool           // guarded by mu: connections are closed at once
	rand *rand.Rand     // guarded by mu
	ops  map[string]int // guarded by mu: POSTs, by their number
}

func newTormentor(t *testing.T, r *rand.Rand, things []*thing) *tormentor {
	t.Helper()
	line, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &tormentor{t: t, things: things, line: line, rand: r, ops: map[string]int{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := line.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			own := rand.New(rand.NewPCG(o.rand.Uint64(), 1))
			o.mu.Unlock()
			all.Go(func() { defer c.Close(); o.converse(c, own) })
		}
	})
	t.Cleanup(func() { line.Close(); all.Wait() })
	return o
}

func (o *tormentor) url() string { return "http://" + o.line.Addr().String() }

// uploadOf is the body of the request with this number.
func uploadOf(op string) []byte {
	n, _ := strconv.Atoi(op)
	return bytes.Repeat([]byte(op+"\n"), n%5*n%3000)
}

func (o *tormentor) isDown() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.down }

func (o *tormentor) setDown(d bool) { o.mu.Lock(); defer o.mu.Unlock(); o.down = d }

func (o *tormentor) converse(c net.Conn, r *rand.Rand) {
	br := bufio.NewReader(c)
	for {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if req.Header.Get("Expect") != "" {
			_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		sent, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		var id int
		if n, _ := fmt.Sscanf(req.URL.Path, "/t/%d", &id); n != 1 || id >= len(o.things) {
			_, _ = io.WriteString(c, "HTTP/1.1 404 Nothing\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		th := o.things[id]
		if o.isDown() {
			th.fail()
			return
		}
		if !o.answer(c, r, req, th, sent) {
			return
		}
	}
}

// answer reports whether the connection can go on.
func (o *tormentor) answer(c net.Conn, r *rand.Rand, req *http.Request, th *thing, sent []byte) bool {
	what := r.IntN(100)
	if what < 2 {
		th.fail()
		return false // not a word
	}
	if what < 6 {
		th.fail()
		fmt.Fprintf(c, "HTTP/1.1 %d Trouble\r\nCache-Control: max-age=100\r\nContent-Length: 6\r\n\r\n", 500+r.IntN(5))
		if req.Method != "HEAD" {
			_, _ = io.WriteString(c, "fault\n")
		}
		return true
	}
	var client int
	_, _ = fmt.Sscanf(req.Header.Get("X-Client"), "%d", &client)
	switch req.Method {
	case "POST", "PUT":
		if op := req.Header.Get("X-Op"); req.Method == "POST" {
			o.mu.Lock()
			o.ops[op]++
			o.mu.Unlock()
		}
		if want := uploadOf(req.Header.Get("X-Op")); !bytes.Equal(sent, want) {
			o.t.Errorf("%s %s came with a body of %d bytes that nobody sent", req.Method, th.path, len(sent))
		}
		v := th.change()
		_, err := fmt.Fprintf(c, "HTTP/1.1 200 Done\r\nX-Version: %d\r\nContent-Length: 0\r\n\r\n", v)
		return err == nil
	}
	me := told{id: th.id, version: th.now(), variant: th.variant(req.Header)}
	if th.rule.own {
		me.client = client
	}
	if r.IntN(3) == 0 {
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
	}
	a := reply{thing: th, is: me, status: max(200, th.rule.status), body: th.body(me)}
	tag := th.tag(me)
	switch ranged := req.Header.Get("Range"); {
	case a.status != 200:
	case tag != "" && web.MatchETag(req.Header.Get("If-None-Match"), tag):
		a.status = 304
	case ranged == "" || !th.part || r.IntN(10) == 0: // it is ignored
	default:
		// Now and then If-Range is overlooked: the tag in the answer tells.
		overlooked := th.tags == "strong" && !th.rule.own && r.IntN(3) == 0
		if f := req.Header.Get("If-Range"); f != "" && (f != tag || th.tags != "strong") && !overlooked {
			break
		}
		from, to, total := 0, len(a.body)-1, len(a.body)
		if n, _ := fmt.Sscanf(ranged, "bytes=%d-%d", &from, &to); n == 0 || from >= total || to < from {
			break
		}
		to = min(to, total-1)
		if r.IntN(20) == 0 { // another one than was asked for
			from = r.IntN(to + 1)
		}
		a.status, a.body = 206, a.body[from:to+1]
		a.part = fmt.Sprintf("bytes %d-%d/%d", from, to, total)
	}
	return a.send(c, r, req)
}

// A reply is an answer of a tormentor to a GET or HEAD.
type reply struct {
	*thing
	is     told
	status int
	body   []byte
	part   string // Content-Range
}

// head returns the answer's head but for how the body is framed.
func (a *reply) head(r *rand.Rand, req *http.Request) string {
	var h strings.Builder
	field := func(format string, args ...any) { fmt.Fprintf(&h, format+"\r\n", args...) }
	th, now := a.thing, time.Now()
	if r.IntN(10) == 0 {
		field("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n")
	}
	field("HTTP/1.1 %d Whatever", a.status)
	if r.IntN(8) > 0 {
		field("Date: %s", now.UTC().Format(http.TimeFormat))
	}
	if f := th.rule.fields; f == "Expires: +2" {
		field("Expires: %s", now.Add(2*time.Second).UTC().Format(http.TimeFormat))
	} else if f != "" {
		field("%s", f)
	}
	if th.rule.heuri {
		th.mu.Lock()
		field("Last-Modified: %s", th.born[a.is.version].UTC().Format(http.TimeFormat))
		th.mu.Unlock()
	} else if r.IntN(2) == 0 && th.rule.life > 0 {
		field("Last-Modified: %s", time.Unix(1e9+int64(a.is.version), 0).UTC().Format(http.TimeFormat))
	}
	if tag := th.tag(a.is); tag != "" {
		field("ETag: %s", tag)
	}
	if th.lang {
		field("Vary: X-Lang")
	}
	if th.code {
		field("Vary: accept-encoding")
	}
	if th.rule.status == 302 {
		field("Location: /v/%d/%d", th.id, a.is.version)
	}
	if strings.Contains(th.rule.fields, "Set-Cookie") {
		field("Set-Cookie: who=%s", req.Header.Get("X-Client"))
	}
	if a.part != "" {
		field("Content-Range: %s", a.part)
	}
	if th.part {
		field("Accept-Ranges: bytes")
	}
	field("X-Body: %s", a.is)
	return h.String()
}

func (a *reply) send(c net.Conn, r *rand.Rand, req *http.Request) bool {
	if r.IntN(3) == 0 {
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
	}
	h, chunked, last := a.head(r, req), r.IntN(2) == 0, false
	switch {
	case a.status == 304:
	case chunked && req.Method != "HEAD":
		h += "Transfer-Encoding: chunked\r\n"
	default:
		h += fmt.Sprintf("Content-Length: %d\r\n", len(a.body))
	}
	if last = r.IntN(20) == 0; last {
		h += "Connection: close\r\n"
	}
	if _, err := io.WriteString(c, h+"\r\n"); err != nil || req.Method == "HEAD" || a.status == 304 {
		return err == nil && !last
	}
	cut := -1
	if r.IntN(12) == 0 && len(a.body) > 0 {
		cut = r.IntN(len(a.body))
		a.fail()
	}
	slow := r.IntN(6) == 0
	for off := 0; off < len(a.body); {
		n := min(len(a.body)-off, 1+r.IntN(1+len(a.body)/2))
		end := cut >= 0 && off+n >= cut
		if end {
			n = cut - off
		}
		piece := a.body[off : off+n]
		if chunked && n > 0 {
			piece = append(append(strconv.AppendInt(nil, int64(n), 16), '\r', '\n'), piece...)
			if !end || r.IntN(2) == 0 {
				piece = append(piece, '\r', '\n')
			}
		}
		if _, err := c.Write(piece); err != nil || end {
			return false
		}
		off += n
		if slow {
			time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
		}
	}
	if chunked {
		if _, err := io.WriteString(c, "0\r\n\r\n"); err != nil {
			return false
		}
	}
	return !last
}
