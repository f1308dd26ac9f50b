package cache

import (
	"context"
	"testing"
	"time"

	"weir/internal/web"
)

// stands returns for how long upstream's answer, which comes at once, answers
// those who ask again, to a tenth of a second and at most two minutes.
func stands(t *testing.T, c *Cache, class Class, u *upstream) time.Duration {
	t.Helper()
	ask := func() {
		query := q("/a")
		query.Class = class
		if o, _, err := c.Get(context.Background(), query, u.fill); err == nil {
			o.Release()
		}
	}
	ask()
	start, n := time.Now(), u.fills.Load()
	for u.fills.Load() == n && time.Since(start) < 2*time.Minute {
		time.Sleep(100 * time.Millisecond)
		ask()
	}
	c.Invalidate("/a")
	time.Sleep(2 * time.Second) // what is remembered of failures fades
	return time.Since(start) - 2*time.Second
}

// A segment that is not there yet is asked for again soon, one that is gone is
// not; what upstream says of that counts, within limits; and an upstream in
// trouble is asked again within a second, whatever it says (rows CA-29, CA-30).
func TestCA30NegativeAnswersStandAsLongAsTheirStatusAllows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Retries: -1, Limits: map[Class]Limits{
			Init: {Negative: map[int]Negative{404: {Default: 3 * time.Second, Max: 4 * time.Second}, 503: {Default: time.Minute, Max: time.Minute}, 410: {Default: -1}}},
		}})
		f := func(class Class, status int, want time.Duration, header ...string) {
			t.Helper()
			u := &upstream{answer: func(int64, *Object) (*web.Response, error) {
				return web.NewResponse(status, web.String("no"), header...), nil
			}}
			if got := stands(t, c, class, u); got != want {
				t.Errorf("%v: %d %q stands for %v, want %v", class, status, header, got, want)
			}
		}
		const ms, s = time.Millisecond, time.Second
		f(Segment, 404, s)
		f(Segment, 404, 3*s, "Cache-Control", "max-age=3")
		f(Segment, 404, 10*s, "Cache-Control", "max-age=3600, stale-while-revalidate=60, stale-if-error=60")
		f(Playlist, 404, 10*s, "Cache-Control", "s-maxage=3600")
		f(Segment, 404, 100*ms, "Cache-Control", "max-age=0")
		f(Segment, 404, 100*ms, "Cache-Control", "no-store")
		f(Segment, 404, 100*ms, "Cache-Control", "no-cache")
		f(Segment, 404, s, "Last-Modified", "Mon, 02 Jan 1989 15:04:05 GMT")
		f(Other, 404, s)
		f(Other, 404, 60*s, "Cache-Control", "max-age=60")
		f(Segment, 410, 10*s)
		f(Segment, 410, 60*s, "Cache-Control", "max-age=60")
		f(Other, 405, 10*s)
		f(Other, 414, 10*s)
		f(Other, 501, s)
		f(Other, 501, s, "Cache-Control", "max-age=60")
		f(Segment, 429, 500*ms)
		f(Segment, 500, 500*ms)
		f(Segment, 503, s, "Cache-Control", "max-age=60")
		f(Segment, 403, 100*ms)
		f(Segment, 403, 60*s, "Cache-Control", "max-age=60")
		f(Init, 404, 3*s)
		f(Init, 404, 4*s, "Cache-Control", "max-age=60")
		f(Init, 503, s)
		f(Init, 410, 100*ms)
		u := &upstream{answer: func(int64, *Object) (*web.Response, error) { return nil, web.Errorf(502, "refused") }}
		if got := stands(t, c, Segment, u); got != 500*ms {
			t.Errorf("a failure stands for %v", got)
		}
	})
}

// What upstream asks of those who come back reaches those who ask right after
// it said so, too.
func TestRetryAfterIsToldOnward(t *testing.T) {
	f := func(status int, said string, want time.Duration) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := says(status, "no", "Retry-After", said)
			o, _, err := c.Get(context.Background(), q("/a"), u.fill)
			if err != nil || o.Status() != status || o.Header().Get("Retry-After") != said {
				t.Fatalf("who asked: %v", err)
			}
			o.Release()
			_, _, err = c.Get(context.Background(), q("/a"), u.fill)
			if e, ok := err.(*web.Error); !ok || e.Status != status || e.RetryAfter != want {
				t.Errorf("Retry-After %q: who asked after got %#v", said, err)
			}
			u.wants(t, 1)
		})
	}
	f(503, "7", 7*time.Second)
	f(429, "7", 7*time.Second)
	f(429, "99999999", time.Hour)
	f(429, "-1", time.Second)
	f(429, "soon", time.Second)
	f(503, "Sat, 01 Jan 2000 00:00:31 GMT", 30*time.Second) // said at 00:00:01
}

// However long upstream lets a playlist be shown after its time, players of a
// live stream see one only as long as its class allows (rows CA-20, CA-21).
func TestCA20CA21StaleIsCappedByClass(t *testing.T) {
	f := func(class Class, age time.Duration, want Outcome, broken bool) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{Limits: map[Class]Limits{
				Playlist: {StaleWhileRevalidate: 5 * time.Second, StaleIfError: 20 * time.Second},
				Init:     {StaleWhileRevalidate: -1},
			}})
			u := &upstream{answer: func(n int64, _ *Object) (*web.Response, error) {
				if n > 1 && broken {
					return nil, web.Errorf(502, "refused")
				}
				return web.NewResponse(200, web.String("x"), "Cache-Control", "max-age=10, stale-while-revalidate=999999, stale-if-error=9999999"), nil
			}}
			query := q("/a")
			query.Class = class
			get(t, c, query, u, Miss, "x")
			time.Sleep(10*time.Second + age)
			o, how, err := c.Get(context.Background(), query, u.fill)
			if how != want {
				t.Errorf("%v, %v after its lifetime: %v, %v, want %v", class, age, how, err, want)
			}
			if err == nil {
				o.Release()
			}
		})
	}
	f(Playlist, 4*time.Second, Stale, false)
	f(Playlist, 6*time.Second, Miss, false)
	f(Playlist, 6*time.Second, Stale, true)
	f(Playlist, 21*time.Second, Miss, true)
	f(Init, 0, Miss, false)
	f(Init, 0, Stale, true)
	f(Segment, 9*time.Minute, Stale, false)
	f(Segment, 11*time.Minute, Miss, false)
	f(Segment, 23*time.Hour, Stale, true)
	f(Segment, 25*time.Hour, Miss, true)
	f(Other, 59*time.Minute, Stale, false)
}

// Only what means that upstream cannot answer is hidden behind a stale answer:
// "500, 502, 503, or 504" (row CA-21).
func TestCA21OnlyUpstreamInTroubleIsHidden(t *testing.T) {
	for status, hidden := range map[int]bool{500: true, 501: false, 502: true, 503: true, 504: true, 505: false, 429: false, 404: false, 403: false} {
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := &upstream{answer: func(n int64, _ *Object) (*web.Response, error) {
				if n == 1 {
					return web.NewResponse(200, web.String("x"), "Cache-Control", "max-age=10, stale-if-error=100"), nil
				}
				return web.NewResponse(status, nil), nil
			}}
			get(t, c, q("/a"), u, Miss, "x")
			time.Sleep(15 * time.Second)
			for i := range 2 { // the second by what is remembered
				o, how, err := c.Get(context.Background(), q("/a"), u.fill)
				if (how == Stale) != hidden || i == 0 && err != nil {
					t.Errorf("%d: %v, %v", status, how, err)
				}
				if err == nil {
					if age := o.Response(time.Now()); hidden && age.Get("Age") != "15" {
						t.Errorf("%d: a stale answer has Age %q", status, age.Get("Age"))
					} else {
						age.Close()
					}
					o.Release()
				}
			}
		})
	}
}
