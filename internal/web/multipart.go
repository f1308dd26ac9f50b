package web

import (
	"crypto/rand"
	"net/http"
	"slices"
)

// partOverhead is about what one more part costs beside its bytes. "A server
// that generates a multipart response MAY coalesce [ranges] that are separated
// by a gap that is smaller than the overhead of sending multiple parts" (RFC
// 9110 section 15.3.7.2).
const partOverhead = 128

// maxOverlaps is how many ranges of one field may overlap another.
const maxOverlaps = 2

// selectSeveral answers several ranges of resp, each of them within its total
// bytes: with multipart/byteranges, with the 206 of one range where they come
// down to one, or with the whole where they ask for more than that is.
func selectSeveral(ranges []Range, resp *Response, total int64) *Response {
	if d, ok := resp.Body.(Drainer); ok {
		if _, ok := d.(Sectioner); !ok {
			return resp // what lies in the network passes once
		}
	}
	// The coding of the parts would read as that of the multipart.
	if excessive(ranges, total) || resp.Get("Content-Encoding") != "" {
		return resp
	}
	ranges = coalesce(ranges)
	if len(ranges) == 1 {
		return partial(resp, ranges[0], total)
	}
	boundary := rand.Text()
	b := newPieces(resp.Body, ranges, total, resp.Get("Content-Type"), boundary)
	resp.Status = http.StatusPartialContent
	// "A server that generates a multipart response MUST NOT generate a
	// Content-Range header field in the header section" (section 15.3.7.2).
	resp.Header.Set("Content-Range", "")
	resp.Header.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	resp.Body = b
	return resp
}

// excessive reports whether a set of ranges is better answered by the whole:
// "A server that supports range requests MAY ignore [a field with] more than
// two overlapping ranges, or a set of many small ranges [...], since these are
// indications of either a broken client or a deliberate denial-of-service
// attack" (RFC 9110 section 14.2).
func excessive(ranges []Range, total int64) bool {
	sum, overlapping := int64(0), 0
	for i, r := range ranges {
		if sum += r.Last - r.First + 1; sum > total {
			return true
		}
		if slices.ContainsFunc(ranges[:i], func(other Range) bool { return near(r, other, 0) }) {
			overlapping++
		}
	}
	return overlapping >= maxOverlaps
}

// near reports whether fewer than gap bytes lie between two ranges.
func near(a, b Range, gap int64) bool { return a.First <= b.Last+gap && b.First <= a.Last+gap }

// coalesce joins ranges that lie near each other. Those that remain stand in
// the order in which they were asked for.
func coalesce(ranges []Range) []Range {
	for again := true; again; {
		again = false
		for i := 0; i < len(ranges); i++ {
			for j := i + 1; j < len(ranges); j++ {
				if near(ranges[i], ranges[j], partOverhead) {
					ranges[i] = Range{min(ranges[i].First, ranges[j].First), max(ranges[i].Last, ranges[j].Last)}
					ranges = slices.Delete(ranges, j, j+1)
					again, j = true, j-1
				}
			}
		}
	}
	return ranges
}
