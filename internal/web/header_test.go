package web

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestHeaderNamesIgnoreCase(t *testing.T) {
	h := NewHeader("Content-Type", "a", "X", "1", "x", "2")
	if h.Get("content-TYPE") != "a" || !h.Has("x") || h.Has("y") || h.Joined("X") != "1, 2" || h.Joined("y") != "" || h.Joined("content-type") != "a" {
		t.Errorf("%+v", h)
	}
	h.Set("x", "3")
	if h.Joined("X") != "3" || h.Len() != 2 {
		t.Errorf("%+v", h)
	}
	h.Del("CONTENT-type")
	if h.Has("Content-Type") || h.Len() != 1 {
		t.Errorf("%+v", h)
	}
	if h.Bytes() != len("X: 3\r\n") {
		t.Error(h.Bytes())
	}
}

func TestACloneIsIndependent(t *testing.T) {
	h := NewHeader("A", "1")
	c := h.Clone()
	c.Set("A", "2")
	c.Add("B", "3")
	if h.Get("A") != "1" || h.Has("B") {
		t.Errorf("%+v", h)
	}
	req := &Request{Header: h}
	req.Clone().Header.Set("A", "9")
	if req.Header.Get("A") != "1" {
		t.Error("a cloned request shares its header")
	}
}

// What one answer says must not change the stored object it was made from.
func TestAnAnswersOwnFieldsHideThoseItShares(t *testing.T) {
	base := NewHeader("ETag", "1", "Vary", "a", "Vary", "b")
	r := &Response{Status: 200, Base: &base, Header: NewHeader("etag", "2", "Vary", "", "Age", "0")}
	h := r.Flatten()
	if h.Get("ETag") != "2" || h.Has("Vary") || h.Get("Age") != "0" || h.Len() != 2 || r.Get("Vary") != "" || r.Get("etag") != "2" {
		t.Errorf("%+v", h)
	}
	if base.Get("ETag") != "1" || base.Len() != 3 {
		t.Errorf("%+v", base)
	}
}

// An error without a status may name machines behind the edge: its text stays inside.
func TestErrorsShowOnlyWhatIsMeantForClients(t *testing.T) {
	body := func(r *Response) string { p, _ := r.Body.View(0); return string(p) }
	r := ErrorResponse(errors.New("dial 10.0.0.7: refused"))
	if r.Status != 500 || body(r) != "internal error\n" {
		t.Errorf("%d %q", r.Status, body(r))
	}
	e := Errorf(503, "channel %s is busy", "news")
	e.Reason, e.RetryAfter, e.Header = "busy", 1500*time.Millisecond, NewHeader("WWW-Authenticate", "Basic")
	r = ErrorResponse(fmt.Errorf("outer: %w", e))
	if r.Status != 503 || body(r) != "busy: channel news is busy\n" || r.Get("Retry-After") != "2" || r.Get("WWW-Authenticate") != "Basic" || r.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %q %+v", r.Status, body(r), r.Header)
	}
	if StatusOf(fmt.Errorf("x: %w", e)) != 503 || ReasonOf(e) != "busy" || StatusOf(errors.New("x")) != 500 || ReasonOf(errors.New("x")) != "" {
		t.Error("status or reason lost")
	}
}

// A 404 that says how long it holds is asked upstream once, not by each viewer.
func TestAnErrorMaySayForHowLongItHolds(t *testing.T) {
	e := Errorf(404, "no such segment")
	e.Header = NewHeader("Cache-Control", "max-age=1", "X-A", "1", "X-A", "2")
	r := ErrorResponse(e)
	if r.Header.Joined("Cache-Control") != "max-age=1" || r.Header.Joined("X-A") != "1, 2" {
		t.Errorf("%+v", r.Header)
	}
}

func TestWhichAnswersHaveAPayload(t *testing.T) {
	if !HasBody("GET", 200) || HasBody("HEAD", 200) || HasBody("GET", 304) || HasBody("GET", 204) || HasBody("GET", 101) || !HasBody("GET", 404) {
		t.Error("wrong")
	}
}
