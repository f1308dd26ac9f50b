package web

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestRangesAreRead(t *testing.T) {
	f := func(in string, want ...Range) {
		t.Helper()
		if got, ok := ParseRange(in); !ok || !slices.Equal(got, want) {
			t.Errorf("ParseRange(%q) = %v, %v, want %v", in, got, ok, want)
		}
	}
	f("bytes=0-99", Range{0, 99})
	f("BYTES=0-0", Range{0, 0})
	f("bytes=100-", Range{100, -1})
	f("bytes=-50", Range{-1, 50})
	f("bytes=-0", Range{-1, 0})
	f("bytes=0-1,5-6", Range{0, 1}, Range{5, 6})
	f("bytes= 0-1 ,, -5,", Range{0, 1}, Range{-1, 5})
	f("bytes=0-9007199254740991", Range{0, 1<<53 - 1})
	f("bytes=00000000000000000000000007-8", Range{7, 8})
	f("bytes=99999999999999999999-", Range{math.MaxInt64, -1})
	f("bytes=1-99999999999999999999", Range{1, math.MaxInt64})
	f("bytes=-99999999999999999999", Range{-1, math.MaxInt64})
}

func TestRangesThatAreNoneAreIgnored(t *testing.T) {
	f := func(in string) {
		t.Helper()
		if got, ok := ParseRange(in); ok {
			t.Errorf("ParseRange(%q) = %v, want none", in, got)
		}
	}
	for _, in := range rangeGarbage {
		f(in)
	}
	f("bytes=" + strings.Repeat("0-1,", maxRanges+1))
}

var rangeGarbage = []string{
	"", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=--1", "bytes=5-4", "bytes=a-b", "bytes=1-2x", "bytes=+1-2",
	"bytes=1.0-2", "bytes=0x0-1", "bytes=1 - 2", "bytes 0-1", "lines=0-1", "bytes=0-1;2-3", "bytes=0-1,x", "bytes=٣-٤",
}

func FuzzParseRange(f *testing.F) {
	for _, in := range rangeGarbage {
		f.Add(in)
	}
	f.Add("bytes=0-99, 100-, -5")
	f.Add("bytes=99999999999999999999-99999999999999999999")
	f.Fuzz(func(t *testing.T, in string) {
		ranges, ok := ParseRange(in)
		if ok != (len(ranges) > 0) || len(ranges) > maxRanges {
			t.Fatalf("%d ranges, ok %v", len(ranges), ok)
		}
		for _, r := range ranges {
			if r.First < -1 || r.Last < -1 || r.First >= 0 && r.Last >= 0 && r.Last < r.First || r.First < 0 && r.Last < 0 {
				t.Fatalf("impossible range %v", r)
			}
			resp := Select(&Request{Method: "GET", Header: NewHeader("Range", in)}, NewResponse(200, String("0123456789")))
			if resp.Status == 206 && (resp.Body.Len() < 1 || resp.Body.Len() > 10) {
				t.Fatalf("206 of %d bytes", resp.Body.Len())
			}
		}
	})
}

// What an upstream says of the bytes it sends is believed only if it makes sense.
func TestContentRangeIsReadStrictly(t *testing.T) {
	f := func(in string, first, last, total int64) {
		t.Helper()
		if r, n, ok := ParseContentRange(in); !ok || r != (Range{first, last}) || n != total {
			t.Errorf("%q: %v %d %v", in, r, n, ok)
		}
	}
	f("bytes 0-0/1", 0, 0, 1)
	f("Bytes 5-9/10", 5, 9, 10)
	f("bytes 5-9007199254740991/*", 5, OpenEnd, -1)
	for _, in := range []string{"", "bytes", "bytes 0-9", "bytes */10", "bytes 9-5/10", "bytes 0-10/10", "bytes=0-9/10", "bytes 0-9/+10", "bytes -1-9/10",
		"bytes 0-9/10 ", "bytes  0-9/10", "bytes 0-9/", "items 0-9/10", "bytes 0x0-9/10", "bytes 0-9/10/10"} {
		if r, n, ok := ParseContentRange(in); ok {
			t.Errorf("%q is read as %v of %d", in, r, n)
		}
	}
}
