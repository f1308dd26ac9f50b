package wire

import "weir/internal/web"

// sendInterim writes an interim answer. net/http sends it at once, over HTTP/2
// too, and keeps the header map for the answer itself.
func (x *netExchange) sendInterim(status int, h *web.Header) error {
	header := x.w.Header()
	interimFields(h, header.Add)
	(*netSink)(x).deadline(0)
	x.w.WriteHeader(status)
	clear(header)
	return nil
}
