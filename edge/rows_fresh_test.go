package edge

import (
	"context"
	"strconv"
	"testing"
	"time"

	"weir/internal/web"
)

func TestCA01AFreshAnswerIsReused(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x", "Cache-Control", "max-age=10")
		if g := o.wants(t, e, 1, "/a"); g.Status != 200 || g.text != "x" {
			t.Errorf("%d %q", g.Status, g.text)
		}
		time.Sleep(9 * time.Second)
		if g := o.wants(t, e, 0, "/a"); g.Status != 200 || g.text != "x" {
			t.Errorf("%d %q", g.Status, g.text)
		}
	})
}

// "A response is fresh if its age has not yet exceeded its freshness lifetime":
// strictly.
func TestCA02AnExpiredAnswerIsNotReused(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x", "Cache-Control", "max-age=10")
		o.wants(t, e, 1, "/a")
		time.Sleep(10*time.Second - 1)
		o.wants(t, e, 0, "/a")
		time.Sleep(time.Nanosecond)
		o.says(200, "y", "Cache-Control", "max-age=10")
		if g := o.wants(t, e, 1, "/a"); g.text != "y" {
			t.Errorf("%q", g.text)
		}
	})
}

func TestCA03AHitHasAnAgeThatGrowsAndAFillHasNone(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x", "Cache-Control", "max-age=100")
		if g := get(t, e, "/a"); flat(g).Has("Age") {
			t.Errorf("a fill has Age %q", g.Get("Age"))
		}
		for _, want := range []int{0, 7, 14} {
			h := flat(get(t, e, "/a"))
			if n, err := strconv.Atoi(h.Get("Age")); err != nil || n != want || h.Joined("Age") != h.Get("Age") {
				t.Errorf("Age %q, want %d", h.Joined("Age"), want)
			}
			time.Sleep(7 * time.Second)
		}
		o.says(200, "x", "Cache-Control", "max-age=100", "Age", "40")
		if g := get(t, e, "/b"); g.Get("Age") != "40" {
			t.Errorf("a fill from another cache has Age %q", g.Get("Age"))
		}
		time.Sleep(5 * time.Second)
		if g := get(t, e, "/b"); g.Get("Age") != "45" {
			t.Errorf("a hit on what another cache gave has Age %q", g.Get("Age"))
		}
	})
}

func TestCA04UpstreamsAgeCounts(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x", "Cache-Control", "max-age=30", "Age", "50")
		if n := o.times(t, e, 3, "/a"); n != 3 {
			t.Errorf("%d requests for what was stale when it came", n)
		}
		o.says(200, "x", "Cache-Control", "max-age=30", "Age", "10")
		o.wants(t, e, 1, "/b")
		time.Sleep(19 * time.Second)
		o.wants(t, e, 0, "/b")
		time.Sleep(time.Second)
		o.wants(t, e, 1, "/b")
	})
}

func TestCA05AnInvalidAgeIsIgnored(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		f := func(lives time.Duration, age ...string) {
			t.Helper()
			pairs := []string{"Cache-Control", "max-age=30"}
			for _, a := range age {
				pairs = append(pairs, "Age", a)
			}
			o.says(200, "x", pairs...)
			p := path()
			o.wants(t, e, 1, p)
			time.Sleep(lives - 1)
			o.wants(t, e, 0, p)
			time.Sleep(time.Nanosecond)
			o.wants(t, e, 1, p)
		}
		for _, age := range []string{"-1", "x", "7.0", "", "1e1", "0x5", "+5"} {
			f(30*time.Second, age)
		}
		f(30*time.Second, "0, 29")
		f(10*time.Second, "20, 0")
		f(10*time.Second, "20", "0")
	})
}

func TestCA06SMaxageBeatsMaxAgeAndExpires(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		f := func(lives time.Duration, pairs ...string) {
			t.Helper()
			o.says(200, "x", pairs...)
			p := path()
			o.wants(t, e, 1, p)
			time.Sleep(lives - 1)
			o.wants(t, e, 0, p)
			time.Sleep(time.Nanosecond)
			o.wants(t, e, 1, p)
		}
		expires := func(d time.Duration) string { return web.FormatHTTPDate(time.Now().Add(d)) }
		f(20*time.Second, "Cache-Control", "max-age=10, s-maxage=20", "Expires", expires(5*time.Second))
		f(10*time.Second, "Cache-Control", "s-maxage=10, max-age=20", "Expires", expires(time.Minute))
		f(10*time.Second, "Cache-Control", "max-age=10", "Expires", expires(time.Minute))
		f(10*time.Second, "Cache-Control", "max-age=10", "Expires", "0")
		f(10*time.Second, "Expires", expires(10*time.Second), "Date", ago(0))
		f(10*time.Second, "Expires", expires(-50*time.Second), "Date", ago(time.Minute)) // its clock is late
		f(10*time.Second, "Expires", expires(10*time.Second), "Expires", "0", "Date", ago(0))
		f(time.Minute, "Last-Modified", ago(10*time.Minute), "Date", ago(0)) // a tenth, as nothing was said
	})
}

func TestCA10WhatIsStaleAtOnceIsNotReused(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		for _, pairs := range [][]string{
			{"Cache-Control", "max-age=0"}, {"Cache-Control", "max-age=-5"}, {"Cache-Control", "max-age=soon"}, {"Cache-Control", "max-age="},
			{"Cache-Control", "max-age"}, {"Cache-Control", "max-age=1.5"}, {"Cache-Control", "max-age= 60"}, {"Cache-Control", "s-maxage=x, max-age=60"},
			{"Cache-Control", "max-age=0, max-age=60"}, {"Cache-Control", "max-age=x", "Cache-Control", "max-age=60"},
			{"Expires", "0"}, {"Expires", "-1"}, {"Expires", ""}, {"Expires", "tomorrow"}, {"Expires", ago(time.Second)}, {"Expires", ago(0), "Date", ago(0)},
			{"Expires", "0", "Last-Modified", ago(24 * time.Hour)},
			{}, {"ETag", `"1"`},
		} {
			o.says(200, "x", pairs...)
			if n := o.times(t, e, 3, path()); n != 3 {
				t.Errorf("%q: %d origin requests of 3", pairs, n)
			}
		}
	})
}

func TestCA11HugeLifetimesAreLongOnes(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		var paths []string
		for _, value := range []string{"2147483647", "2147483648", "4294967296", "99999999999", "9223372036854775808", "99999999999999999999999999"} {
			for _, directive := range []string{"max-age=", "s-maxage="} {
				o.says(200, "x", "Cache-Control", directive+value)
				paths = append(paths, path())
				o.wants(t, e, 1, paths[len(paths)-1])
			}
		}
		time.Sleep(5 * 24 * time.Hour)
		for _, p := range paths {
			if g := o.wants(t, e, 0, p); g.Get("Age") != "432000" {
				t.Errorf("Age %q", g.Get("Age"))
			}
		}
		o.says(200, "x", "Cache-Control", "max-age=60", "Age", "99999999999999999999")
		if n := o.times(t, e, 2, "/old"); n != 2 {
			t.Error("an endless Age was taken for none")
		}
	})
}

func TestCA32UnknownDirectivesAreIgnored(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		f := func(lives time.Duration, control ...string) {
			t.Helper()
			var pairs []string
			for _, line := range control {
				pairs = append(pairs, "Cache-Control", line)
			}
			o.says(200, "x", pairs...)
			p := path()
			o.wants(t, e, 1, p)
			if lives > 0 {
				time.Sleep(lives - 1)
				o.wants(t, e, 0, p)
				time.Sleep(time.Nanosecond)
			}
			o.wants(t, e, 1, p)
		}
		f(60*time.Second, "community=UCI, max-age=60, x")
		f(60*time.Second, `max-age="60"`)
		f(60*time.Second, `MAX-AGE=60`, `Public`)
		f(60*time.Second, `a="max-age=1, s-maxage=1", max-age=60`)
		f(60*time.Second, `a="no-store", max-age=60`)
		f(60*time.Second, `a="\", no-store, \"", max-age=60`)
		f(60*time.Second, ",,max-age=60,,")
		f(60*time.Second, "no-transform", "max-age=60")
		f(60*time.Second, "public", "max-age=60") // several lines are one list
		f(0, `a="max-age=60"`)
		f(0, "xmax-age=60")
		f(0, "no-storex", "max_age=60")
	})
}

// Half of all viewers reload at the end of an ad break: what never changes is
// not asked about while it is fresh.
func TestCA33ImmutableIsNotRevalidatedWhileFresh(t *testing.T) {
	for _, honour := range []bool{false, true} {
		rowWith(t, Options{QueryAll: true, HonourRequests: honour}, func(t *testing.T, e *Edge, o *fo) {
			o.has(`"1"`, "x", "Cache-Control", "max-age=10, immutable")
			o.wants(t, e, 1, "/a")
			for _, pairs := range [][]string{{}, {"If-None-Match", `"1"`}, {"If-None-Match", `"0"`}, {"If-Modified-Since", ago(time.Hour)}, {"Cache-Control", "max-age=0"}} {
				o.wants(t, e, 0, "/a", pairs...)
			}
			time.Sleep(10 * time.Second)
			o.wants(t, e, 1, "/a")
			if req := o.last(); req.Header.Get("If-None-Match") != `"1"` {
				t.Errorf("once stale it is asked about with If-None-Match %q", req.Header.Get("If-None-Match"))
			}
		})
	}
}

func TestCA36FieldsOfTheOriginPassUnchanged(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		fields := map[string]string{"Date": ago(3 * time.Second), "ETag": `W/"v1"`, "Last-Modified": ago(time.Hour), "Expires": ago(-time.Hour),
			"Cache-Control": "max-age=600, foo=\"bar\"", "Content-Location": "/other", "Content-Language": "de", "CDN-Cache-Control": "max-age=300", "X-Any": "a, b"}
		var pairs []string
		for name, value := range fields {
			pairs = append(pairs, name, value)
		}
		o.says(200, "x", pairs...)
		for i := range 3 {
			g := get(t, e, "/a")
			for name, value := range fields {
				if flat(g).Joined(name) != value {
					t.Errorf("answer %d: %s is %q, want %q", i, name, flat(g).Joined(name), value)
				}
			}
			time.Sleep(time.Second)
		}
		// "A recipient [...] MUST record the time it was received and append" it.
		o.says(200, "x", "Cache-Control", "max-age=60")
		want := ago(0)
		get(t, e, "/b")
		time.Sleep(5 * time.Second)
		if g := get(t, e, "/b"); g.Get("Date") != want {
			t.Errorf("Date %q, want %q", g.Get("Date"), want)
		}
	})
}

// A long transfer of a request counts as age, time that an origin held it until
// there was something to tell does not.
func TestCA03TimeInTransitIsAge(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.answer = func(context.Context, *web.Request) (*web.Response, error) {
			time.Sleep(4 * time.Second)
			return web.NewResponse(200, web.String("x"), "Cache-Control", "max-age=10"), nil
		}
		get(t, e, "/a")
		if g := o.wants(t, e, 0, "/a"); g.Get("Age") != "4" {
			t.Errorf("Age %q", g.Get("Age"))
		}
		time.Sleep(6 * time.Second)
		o.wants(t, e, 1, "/a")
	})
}
