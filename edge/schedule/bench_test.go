package schedule

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// listings makes versions of a list of n two-second segments with dates, each one
// segment further than the one before.
func listings(n, versions int) func(i int) []byte {
	var b strings.Builder
	for i := range n + versions {
		fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n#EXTINF:2.000,\nmf3k2abc-%07d.m4s\n",
			start.Add(time.Duration(i)*2*time.Second).Format("2006-01-02T15:04:05.000Z"), 1_000_000+i)
	}
	all := b.String()
	line := len(all) / (n + versions)
	return func(i int) []byte {
		i %= versions
		return []byte(fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-MAP:URI=\"init.mp4\"\n", i) + all[i*line:(i+n)*line])
	}
}

// BenchmarkObserve takes in one version after the other of a six-hour DVR list, of
// a live one, and of a hostile one that names everything anew each time.
func BenchmarkObserve(b *testing.B) {
	for _, c := range []struct {
		name    string
		n       int
		hostile bool
	}{{"live", 15, false}, {"dvr=6h", 10_800, false}, {"hostile=6h", 10_800, true}} {
		b.Run(c.name, func(b *testing.B) {
			version := listings(c.n, 500)
			book := New(Options{})
			id := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				text := version(i)
				if i%500 == 0 {
					id++
				}
				name := fmt.Sprintf("/%d/", id)
				if c.hostile {
					name = fmt.Sprintf("/%d/%d/", id, i)
				}
				b.StartTimer()
				l, err := Scan(text)
				if err != nil {
					b.Fatal(err)
				}
				if c.hostile {
					for j := range l.Segments {
						l.Segments[j].URI += "?"
					}
				}
				if rep := book.Observe(Version{ID: fmt.Sprint("/", id), Listing: l, Now: start.Add(time.Duration(i) * 2 * time.Second), Key: under(name)}); rep.Verdict > Newer {
					b.Fatal(rep.Verdict)
				}
			}
		})
	}
}
