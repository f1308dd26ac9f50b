package wire

import (
	"bytes"
	"net/http"
	"strconv"

	"weir/internal/web"
)

// sendInterim writes an interim answer to the connection, past fasthttp, which
// writes nothing before the handler has returned. A client that does not take
// it is cut: what follows would not be understood.
func (x *fastExchange) sendInterim(status int, h *web.Header) error {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n")
	interimFields(h, func(name, value string) { b.WriteString(name + ": " + value + "\r\n") })
	b.WriteString("\r\n")
	early := newPace(x.conn, x.f.rate, x.f.stall) // the answer, which may ask for more, has its own
	_, err := early.write(b.Bytes())
	if err != nil {
		_ = x.conn.Close()
	}
	return err
}
