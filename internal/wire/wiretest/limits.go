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
	"OversizeBodyIs413":               hugeBody,
	"OversizeBodyInChunksIs413":       hugeChunks,
	"ReaderBelowTheMinimumRateIsCut":  slowReader,
	"ReaderThatTakesNothingIsCut":     stuckReader,
	"ReaderAboveTheMinimumRateIsNot":  steadyReader,
	"BodyThatPausesIsNotASlowReader":  pausingBody,
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
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body, "Connection", "close") })))
	_ = c.tcp().SetReadBuffer(128 << 10)
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	c.get("/", "")
	began := time.Now()
	if n := take(c, 5*MinSendRate, 25*time.Second); n < size {
		t.Errorf("the steady reader got %d bytes of %d in %v", n, size, time.Since(began))
	}
	if d := time.Since(began); d < 2*WriteStall {
		t.Errorf("the body took %v: too quick to prove anything", d)
	}
	body.closedOnce(t)
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
