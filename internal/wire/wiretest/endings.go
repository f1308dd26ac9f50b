package wiretest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
)

var endings = map[string]func(*testing.T, Start){
	"AbortedBodyOfUnknownLengthNeverEnds":  func(t *testing.T, start Start) { abortedNeverEnds(t, start, -1) },
	"AbortedBodyOfKnownLengthFallsShort":   func(t *testing.T, start Start) { abortedNeverEnds(t, start, 1000) },
	"BodyAbortedBeforeItsFirstByteIs502":   abortedAtOnce,
	"BodyShorterThanItsLengthIsCut":        tooShort,
	"PanicInHandlerIs500AndNoMore":         panicInHandler,
	"PanicInBodyCutsTheConnection":         panicInBody,
	"ClientThatLeavesAWaitIsNoticed":       leavesWait,
	"ClientThatLeavesABodyIsNoticed":       leavesBody,
	"ClientThatLeavesALongBodyIsNoticed":   leavesLongBody,
	"ErrorIsAnsweredWithItsStatus":         errorStatus,
	"ShutdownLetsAnExchangeEnd":            shutdown,
	"AnswerNobodySeesClosesItsBodyOnceToo": unseen,
}

// A segment that was cut off upstream must not look like a short segment: the
// player would go on with a hole in the picture instead of asking again.
func abortedNeverEnds(t *testing.T, start Start, length int64) {
	w, body := growing(length)
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body) })))
	c.get("/", "")
	_, _ = w.Write([]byte("half of it"))
	resp := c.head("GET")
	got := make([]byte, 10)
	if _, err := io.ReadFull(resp.Body, got); err != nil {
		t.Fatal(err)
	}
	w.Abort(errors.New("upstream died"))
	if rest, err := io.ReadAll(resp.Body); err == nil || isTimeout(err) {
		t.Errorf("the aborted body ended with %q and error %v, want a cut", rest, err)
	}
	body.closedOnce(t)
}

func abortedAtOnce(t *testing.T, start Start) {
	w, body := growing(-1)
	w.Abort(errors.New("upstream died"))
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body) })))
	c.get("/", "")
	c.answer(http.StatusBadGateway)
	body.closedOnce(t)
}

// lying says it is longer than it is.
type lying struct{ *watched }

func (lying) Len() int64 { return 100 }

func tooShort(t *testing.T, start Start) {
	w, body := growing(-1)
	_, _ = w.Write([]byte("short"))
	_ = w.Complete()
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, lying{body}) })))
	c.get("/", "")
	c.cut()
	body.closedOnce(t)
}

// One viewer's bad luck is not everybody's: the process lives.
func panicInHandler(t *testing.T, start Start) {
	addr := serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Path == "/boom" {
			panic("boom")
		}
		return web.Text(200, "fine"), nil
	})
	c := dial(t, addr)
	c.get("/boom", "")
	if _, got := c.answer(500); got == "" || len(got) > 100 {
		t.Errorf("body %q, want a short text and no stack", got)
	}
	c = dial(t, addr)
	c.get("/", "")
	c.answer(200)
}

// explosive panics when it is read from offset 5 on.
type explosive struct{ *watched }

func (e explosive) View(off int64) ([]byte, web.State) {
	if off >= 5 {
		panic("boom")
	}
	p, _ := e.watched.View(off)
	return p[:min(5, len(p))], web.Open
}

func panicInBody(t *testing.T, start Start) {
	w, body := growing(-1)
	_, _ = w.Write([]byte("0123456789"))
	addr := serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Path != "/boom" {
			return web.Text(200, "fine"), nil
		}
		return web.NewResponse(200, explosive{body}), nil
	})
	c := dial(t, addr)
	c.get("/boom", "")
	c.cut()
	body.closedOnce(t)
	c = dial(t, addr)
	c.get("/", "")
	c.answer(200)
}

// A parked playlist request costs nothing once its viewer has gone.
func leavesWait(t *testing.T, start Start) {
	in, out := make(chan struct{}), make(chan struct{})
	c := dial(t, serve(t, start, func(ctx context.Context, _ *web.Request) (*web.Response, error) {
		close(in)
		<-ctx.Done()
		close(out)
		return nil, ctx.Err()
	}))
	c.get("/", "")
	within(t, 5*time.Second, "the request to arrive", in)
	c.Close()
	within(t, 2*time.Second, "the wait to end after its client left", out)
}

func leavesBody(t *testing.T, start Start) {
	w, body := growing(-1)
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body) })))
	c.get("/", "")
	_, _ = w.Write([]byte("some"))
	resp := c.head("GET")
	_, _ = io.ReadFull(resp.Body, make([]byte, 4))
	left := time.Now()
	c.Close()
	body.closedOnce(t)
	if d := time.Since(left); d > 2*time.Second {
		t.Errorf("the body was closed %v after its client left, want within 2 s", d)
	}
}

func leavesLongBody(t *testing.T, start Start) {
	body := &watched{Body: web.Bytes(make([]byte, 64<<20))}
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body) })))
	c.get("/", "")
	_, _ = io.ReadFull(c.head("GET").Body, make([]byte, 1000))
	c.Close()
	body.closedOnce(t)
}

func errorStatus(t *testing.T, start Start) {
	var err error
	c := dial(t, serve(t, start, func(context.Context, *web.Request) (*web.Response, error) { return nil, err }))
	err = &web.Error{Status: 403, Reason: "token_expired", Header: web.NewHeader("X-Why", "late"), Err: errors.New("too late")}
	c.get("/", "")
	if resp, got := c.answer(403); resp.Header.Get("X-Why") != "late" || got != "token_expired: too late\n" {
		t.Errorf("%v %q", resp.Header, got)
	}
	err = errors.New("dial 10.0.0.7: secret")
	c.get("/", "")
	if _, got := c.answer(500); got != "internal error\n" {
		t.Errorf("%q, want nothing of the inside", got)
	}
}

// A node that is taken out of service does not tear the segments its viewers
// are fetching.
func shutdown(t *testing.T, start Start) {
	w, body := growing(-1)
	base, stop := start(t, always(func() *web.Response { return web.NewResponse(200, body) }))
	c := dial(t, strings.TrimPrefix(base, "http://"))
	c.get("/", "")
	_, _ = w.Write([]byte("begun"))
	resp := c.head("GET")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	time.Sleep(200 * time.Millisecond) // well into the shutdown
	_, _ = w.Write([]byte(", ended"))
	_ = w.Complete()
	if got, err := io.ReadAll(resp.Body); string(got) != "begun, ended" || err != nil {
		t.Errorf("during shutdown: %q, %v", got, err)
	}
	within(t, 10*time.Second, "the shutdown to end", stopped)
	body.closedOnce(t)
}

func unseen(t *testing.T, start Start) {
	in, out := make(chan struct{}), make(chan struct{})
	_, body := growing(-1)
	c := dial(t, serve(t, start, func(context.Context, *web.Request) (*web.Response, error) {
		close(in)
		<-out
		return web.NewResponse(200, body), nil
	}))
	c.get("/", "")
	within(t, 5*time.Second, "the request to arrive", in)
	c.Close()
	close(out)
	body.closedOnce(t)
}
