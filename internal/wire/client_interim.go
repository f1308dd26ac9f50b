package wire

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"

	"weir/internal/web"
)

// maxInterimGot is how many interim answers an upstream may give to one
// request: net/http leaves that to who wants to hear of them.
const maxInterimGot = 32

var errInterims = errors.New("more interim answers (1xx) than any honest upstream gives")

// informed returns a context under which a request's interim answers are handed
// to inform. They are never stored, as they never become a Response.
func informed(ctx context.Context, inform func(status int, h *web.Header)) context.Context {
	if inform == nil {
		return ctx
	}
	n := 0
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			if n++; n > maxInterimGot {
				return errInterims
			}
			if isInterim(status) {
				h := answerHeader(http.Header(header))
				inform(status, &h)
			}
			return nil
		},
	})
}
