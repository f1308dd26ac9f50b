package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// An Error is an error that knows which status a client should see. Its text
// is for the client and the log alike, so it names the object and the knob to
// turn, and never a secret.
type Error struct {
	Status     int
	Reason     string        // a short fixed code for logs, metrics and the client, e.g. "token_expired"; "" : none
	RetryAfter time.Duration // when to come back; 0: not said. Rounded up to whole seconds
	Header     Header        // further fields the answer must carry, e.g. WWW-Authenticate
	Err        error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error with the given status.
func Errorf(status int, format string, args ...any) *Error {
	return &Error{Status: status, Err: fmt.Errorf(format, args...)}
}

// StatusOf returns the status that err asks for: 500 if it asks for none.
func StatusOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return http.StatusInternalServerError
}

// ReasonOf returns the reason code that err carries, or "".
func ReasonOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// ErrorResponse turns an error into the answer the client sees. The text of an
// error that is no [*Error] stays inside: it may hold addresses of machines
// the client has no business knowing.
func ErrorResponse(err error) *Response {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return Text(http.StatusInternalServerError, "internal error\n")
	}
	text := e.Error() + "\n"
	if e.Reason != "" {
		text = e.Reason + ": " + text
	}
	r := Text(e.Status, text)
	if e.RetryAfter > 0 {
		r.Header.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	own := r.Header.Len() // e.Header replaces what Text says, e.g. how long a 404 may be kept
	for f := range e.Header.All() {
		if i := r.Header.index(f.Name); i >= 0 && i < own {
			r.Header.Set(f.Name, f.Value)
		} else {
			r.Header.Add(f.Name, f.Value)
		}
	}
	return r
}
