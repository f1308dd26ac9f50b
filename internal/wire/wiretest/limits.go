package wiretest

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
)

var limits = map[string]func(*testing.T, Start){
	"OversizeHeaderIs431":             hugeHeader,
	"LargeHeaderIsAccepted":           largeHeader,
	"HeaderOfManyFieldsIs431":         manyFields,
	"HeaderWithoutEndIsCut":           endlessHeader,
	"OversizeBodyIs413":               hugeBody,
	"OversizeBodyInChunksIs413":       hugeChunks,
	"ReaderBelowTheMinimumRateIsCut":  slowReader,
	"ReaderThatTakesNothingIsCut":     stuckReader,
	"ReaderAboveTheMinimumRateIsNot":  steadyReader,
	"BodyThatPausesIsNotASlowReader":  pausingBody,
	"ReaderBelowTheAnswersRateIsCut":  belowMinRate,
	"ReaderAtTheAnswersRateIsNot":     atMinRate,
	"AnswersRateIsNotTheNextAnswers":  nextMinRate,
	"AnswerToAPausingRequestIsPrompt": refusesEarly,
}

// A header of cookies and tokens that is too long gets a word that says so.
func hugeHeader(t *testing.T, start Start) {
	addr := serve(t, start, always(func() *web.Response { t.Error("the handler was reached"); return web.Text(200, "") }))
	for _, lines := range []string{
		"X: " + strings.Repeat("a", MaxHeader+8<<10) + "\n",
		strings.Repeat("X-Some: "+strings.Repeat("a", 100)+"\n", MaxHeader/100+80),
	} {
		c := dial(t, addr)
		go func() {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: weir\r\n"+strings.ReplaceAll(lines, "\n", "\r\n")+"\r\n")
		}()
		if resp := c.head("GET"); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
}

// A header that fits into its bytes and has thousands of fields costs all who look
// for one of them: it is refused as well.
func manyFields(t *testing.T, start Start) {
	addr := serve(t, start, always(func() *web.Response { t.Error("the handler was reached"); return web.Text(200, "") }))
	for _, lines := range []string{
		strings.Repeat("a:\n", 3000), strings.Repeat("A: b\n", 300), "Connection: " + strings.Repeat("x,", 5000) + "\n",
	} {
		c := dial(t, addr)
		c.get("/", lines)
		if resp := c.head("GET"); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%.10q: status %d", lines, resp.StatusCode)
		}
	}
}

// Whoever sends header lines for ever, as fast as he can, is told to stop, and not
// read for ever.
func endlessHeader(t *testing.T, start Start) {
	addr := serve(t, start, always(func() *web.Response { t.Error("the handler was reached"); return web.Text(200, "") }))
	c := dial(t, addr)
	sent := make(chan int, 1)
	go func() {
		n := 0
		defer func() { sent <- n }()
		line := []byte("X-Some: " + strings.Repeat("a", 1000) + "\r\n")
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: weir\r\n"); err != nil {
			return
		}
		for n < 1<<30 {
			m, err := c.Write(line)
			if n += m; err != nil {
				return
			}
		}
	}()
	select {
	case n := <-sent:
		if n > 64<<20 {
			t.Errorf("%d bytes of header were taken", n)
		}
	case <-time.After(8 * time.Second):
		t.Error("the header is read for ever")
	}
}

// A token, cookies and CMCD fit.
func largeHeader(t *testing.T, start Start) {
	c, got := asked(t, start)
	value := strings.Repeat("a", MaxHeader-4<<10)
	c.get("/", "Cookie: "+value+"\n")
	c.answer(200)
	if req := <-got; req.Header.Get("Cookie") != value {
		t.Error("the field arrived changed")
	}
}

// reading reads what it is sent and then answers.
func reading(_ context.Context, req *web.Request) (*web.Response, error) {
	if req.Body != nil {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
	}
	return web.Text(200, "ok"), nil
}

func hugeBody(t *testing.T, start Start) {
	addr := serve(t, start, reading)
	c := dial(t, addr)
	c.send("POST / HTTP/1.1\nHost: weir\nContent-Length: %d\n\n%s", MaxBody+1, "begins")
	c.answer(http.StatusRequestEntityTooLarge)
	c = dial(t, addr)
	c.send("POST / HTTP/1.1\nHost: weir\nContent-Length: %d\n\n%s", MaxBody, strings.Repeat("x", MaxBody))
	c.answer(200)
}

func hugeChunks(t *testing.T, start Start) {
	c := dial(t, serve(t, start, reading))
	chunk := "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n"
	go func() {
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: weir\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, MaxBody/0x1000+1))
	}()
	c.answer(http.StatusRequestEntityTooLarge)
}

// take reads from c at about rate bytes/s until its end, and returns how many
// bytes there were.
func take(c net.Conn, rate int, d time.Duration) (n int) {
	const step = 50 * time.Millisecond
	buf := make([]byte, rate/int(time.Second/step))
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(step) {
		m, err := io.ReadFull(c, buf)
		if n += m; err != nil {
			return n
		}
	}
	return n
}

// A hundred thousand clients that read a byte now and then must not pin as
// many segments in memory.
func slowReader(t *testing.T, start Start) {
	body := &watched{Body: web.Bytes(make([]byte, 32<<20))}
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body) })))
	_ = c.tcp().SetReadBuffer(128 << 10)
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	c.get("/", "")
	go take(c, MinSendRate/8, 20*time.Second)
	began := time.Now()
	for body.closed.Load() == 0 && time.Since(began) < 15*time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	if d := time.Since(began); d > 12*time.Second || d < WriteStall {
		t.Errorf("the slow reader was cut after %v", d)
	}
	body.closedOnce(t)
}

func stuckReader(t *testing.T, start Start) {
	body := &watched{Body: web.Bytes(make([]byte, 32<<20))}
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body) })))
	c.get("/", "")
	began := time.Now()
	body.closedOnce(t)
	if d := time.Since(began); d > 3*WriteStall || d < WriteStall {
		t.Errorf("the reader that takes nothing was cut after %v", d)
	}
}

// A viewer on a slow but sufficient line gets the whole segment, although that
// takes several times as long as a client may stall.
func steadyReader(t *testing.T, start Start) {
	const size = 2 << 20
	body := &watched{Body: web.Bytes(make([]byte, size))}
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body) })))
	_ = c.tcp().SetReadBuffer(128 << 10)
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	c.get("/", "Connection: close\n")
	began := time.Now()
	if n := take(c, 5*MinSendRate, 25*time.Second); n < size {
		t.Errorf("the steady reader got %d bytes of %d in %v", n, size, time.Since(began))
	}
	if d := time.Since(began); d < 2*WriteStall {
		t.Errorf("the body took %v: too quick to prove anything", d)
	}
	body.closedOnce(t)
}

// A viewer whose line carries a quarter of the rendition that he is sent will
// never play it, and holds the segments that it takes meanwhile.
func belowMinRate(t *testing.T, start Start) {
	body := &watched{Body: web.Bytes(make([]byte, 32<<20))}
	c := dial(t, serve(t, start, always(func() *web.Response {
		return &web.Response{Status: 200, Body: body, MinRate: 8 * MinSendRate}
	})))
	_ = c.tcp().SetReadBuffer(128 << 10)
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	c.get("/", "")
	go take(c, 2*MinSendRate, 20*time.Second) // enough for the listener
	began := time.Now()
	for body.closed.Load() == 0 && time.Since(began) < 15*time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	if d := time.Since(began); d > 12*time.Second || d < WriteStall {
		t.Errorf("cut after %v", d)
	}
	body.closedOnce(t)
}

// One who keeps up is not cut, nor is one who stops reading what is already his:
// the end of a segment that came fast lies in his own socket. Time in which
// upstream has nothing is not his either.
func atMinRate(t *testing.T, start Start) {
	w, body := growing(-1)
	c := dial(t, serve(t, start, always(func() *web.Response {
		return &web.Response{Status: 200, Body: body, MinRate: 4 * MinSendRate}
	})))
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	c.get("/", "")
	const piece, pieces = 128 << 10, 4
	go func() { // an upstream far below the rate
		for range pieces {
			_, _ = w.Write(make([]byte, piece))
			time.Sleep(WriteStall / 2)
		}
		_ = w.Complete()
	}()
	resp := c.head("GET")
	if _, err := io.CopyN(io.Discard, resp.Body, piece*(pieces-1)+piece/2); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * WriteStall) // a player whose buffer is full
	if n, err := io.Copy(io.Discard, resp.Body); n != piece/2 || err != nil {
		t.Errorf("%d bytes and %v after a pause at the end", n, err)
	}
}

// What one answer demands, the next on its connection does not.
func nextMinRate(t *testing.T, start Start) {
	const size = 8 << 20 // more than the kernel takes at once
	first := true
	c := dial(t, serve(t, start, always(func() *web.Response {
		resp := &web.Response{Status: 200, Body: web.Bytes(make([]byte, size))}
		if first {
			resp.MinRate, first = 1<<40, false
		}
		return resp
	})))
	_ = c.tcp().SetReadBuffer(128 << 10)
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	c.get("/", "")
	c.answer(200)
	c.get("/", "Connection: close\n")
	if n := take(c, 16*MinSendRate, 25*time.Second); n < size {
		t.Errorf("the second answer ended at %d bytes of %d", n, size)
	}
}

// A viewer at the live edge waits for the encoder, and is not blamed for it.
func pausingBody(t *testing.T, start Start) {
	w, body := growing(-1)
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body) })))
	c.get("/", "")
	_, _ = w.Write([]byte("one"))
	resp := c.head("GET")
	time.Sleep(WriteStall + WriteStall/2)
	_, _ = w.Write([]byte("two"))
	_ = w.Complete()
	if got, err := io.ReadAll(resp.Body); string(got) != "onetwo" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A publisher that is refused hears it before it has sent everything.
func refusesEarly(t *testing.T, start Start) {
	c := dial(t, serve(t, start, always(func() *web.Response { return web.Text(200, "no need") })))
	c.send("POST / HTTP/1.1\nHost: weir\nContent-Length: %d\n\nbegins", MaxBody*2)
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	if resp := c.head("GET"); resp.StatusCode != 413 || !resp.Close && c.bridge == nil {
		t.Errorf("status %d, close %v", resp.StatusCode, resp.Close)
	}
}
