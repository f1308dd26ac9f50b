package wire

import "weir/internal/web"

// sendInterim writes an interim answer. net/http sends it at once, over HTTP/2
// too, and keeps the header map for the answer itself.
func (x *netExchange) sendInterim(status int, h *web.Header) error {
	header := x.w.Header()
	interimFields(h, header.Add)
	send := func() error { x.w.WriteHeader(status); return nil }
	var err error
	if x.h2 == nil {
		err = send()
	} else {
		err = x.stream.do(0, (*netSink)(x).reset, send)
	}
	clear(header)
	return err
}
