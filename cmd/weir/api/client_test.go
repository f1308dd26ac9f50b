package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Whatever answers at the other end, an operator gets an error that says who was asked and
// where to look, within its time.
func TestAClientIsBackWhateverAnswers(t *testing.T) {
	timeout := 5 * time.Second
	f := func(want string, h http.HandlerFunc) {
		t.Helper()
		s := httptest.NewServer(h)
		defer s.Close()
		c, err := New(Options{URL: s.URL, Timeout: timeout})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = c.Channels(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || time.Since(began) > 5*time.Second {
			t.Errorf("after %v: %v, want %q", time.Since(began), err, want)
		}
	}
	answer := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	f("answers 404 without JSON", answer(404, "text/plain", "404 page not found\n"))
	f("answers 421 without JSON", answer(421, "text/plain", "host: ask"))
	f("answers 200 without JSON", answer(200, "text/html", "<html>"))
	f("answers 502 without JSON", answer(502, "application/json", "<html>"))
	f("none of its API's answers", answer(200, "application/json", "[]"))
	f("the channel is what it is", answer(409, "application/json", `{"error":"the channel is what it is","reason":"x"}`))
	timeout = 200 * time.Millisecond
	f("no answer within 200ms", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	timeout = 5 * time.Second
	f("is the origin up", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "{")
	})
	f("more than 16 MiB", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(bytes.Repeat([]byte(" "), maxAnswer+2))
	})
	f("answers 302 without JSON", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	for _, url := range []string{"", "origin1", "origin1:9180", "ftp://o", "http://o/x", "http://u:p@o", "http://o?x=1"} {
		if _, err := New(Options{URL: url}); err == nil || strings.Contains(err.Error(), ":p@") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// A name is one part of a path, whatever stands in it, and the token goes with each request.
func TestAClientAsksAsTold(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.RequestURI+" "+r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "{}")
	}))
	defer s.Close()
	c, err := New(Options{URL: s.URL + "/", Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.End(t.Context(), "a/../b?c"); err != nil {
		t.Error(err)
	}
	if _, created, err := c.AddDateRange(t.Context(), "news", DateRange{ID: "a"}); err != nil || !created {
		t.Error(created, err)
	}
	want := "[POST /api/v1/channels/a%2F..%2Fb%3Fc/end Bearer secret POST /api/v1/channels/news/dateranges Bearer secret]"
	if got := fmt.Sprint(asked); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Durations are seconds, and no more than can be meant.
func TestSecondsAreNumbers(t *testing.T) {
	f := func(text string, want time.Duration, ok bool) {
		t.Helper()
		var s Seconds
		if err := json.Unmarshal([]byte(text), &s); (err == nil) != ok || s.Duration() != want {
			t.Errorf("%s: %v, %v", text, s.Duration(), err)
		}
	}
	f("29.96", 29960*time.Millisecond, true)
	f("0", 0, true)
	f("1e9", 1e9*time.Second, true)
	f("2e9", 0, false)
	f(`"30s"`, 0, false)
	if text, err := json.Marshal(Seconds(1500 * time.Millisecond)); err != nil || string(text) != "1.5" {
		t.Errorf("%s %v", text, err)
	}
}
