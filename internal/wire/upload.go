package wire

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"weir/internal/web"
)

// An upload is the body of a request. Each read must bring something before
// the progress timeout, of HTTP/2 all of them: a viewer's body is held whole, and
// who sends a byte now and then would have it held for hours. All together they
// bring at most what is left.
type upload struct {
	x    *netExchange
	left int64
	err  error // what ended it
}

func newUpload(x *netExchange) *upload {
	if x.conn != nil {
		x.conn.expect(x.n.progress)
	} else {
		_ = x.rc.SetReadDeadline(time.Now().Add(x.n.progress))
	}
	return &upload{x: x, left: x.n.maxBody}
}

// Read implements [io.Reader].
func (u *upload) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.x.r.Body.Read(p[:min(int64(len(p)), u.left+1)])
	if u.left -= int64(n); u.left < 0 {
		u.err = u.x.n.tooLarge()
		return 0, u.err
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		u.err = io.EOF
		// net/http now reads on to see the client leave: without a deadline.
		u.unbound()
	case errors.Is(err, os.ErrDeadlineExceeded):
		e := web.Errorf(http.StatusRequestTimeout, "the request's body did not advance for %v", u.x.n.progress)
		if u.x.conn == nil {
			e = web.Errorf(http.StatusRequestTimeout, "the request took longer than %v to arrive", u.x.n.progress)
		}
		e.Reason = "request_timeout"
		u.err = e
	default:
		// Status 400: the client broke off, or broke the chunks' syntax.
		e := &web.Error{Status: http.StatusBadRequest, Reason: "body_cut", Err: fmt.Errorf("the request's body was cut: %w", err)}
		u.err = e
	}
	return n, u.err
}

// unbound lifts the bound on reads.
func (u *upload) unbound() {
	if u.x.conn != nil {
		u.x.conn.expect(0)
	} else {
		_ = u.x.rc.SetReadDeadline(time.Time{})
	}
}

// finish is called when the handler has returned. A body that was not read to
// its end costs the connection, so that the answer need not wait for the rest.
func (u *upload) finish() {
	if u.err != io.EOF {
		u.unbound()
		u.x.hangUp()
	}
}

// linger is how long what is still sent may be read and thrown away, so that a
// client which is still sending gets the answer and not a reset.
const linger = time.Second

// hangUp makes the connection end with the answer that is about to be sent.
func (x *netExchange) hangUp() {
	x.close()
	until := time.Now().Add(linger)
	_ = x.rc.SetReadDeadline(until)
	if x.conn != nil {
		x.conn.hungUp.Store(until.UnixNano())
	}
}
