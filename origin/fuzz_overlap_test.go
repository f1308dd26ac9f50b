package origin

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/bench"
	"weir/playlist"
)

// FuzzOverlap has two encoders of real media push the same names at once, in any order, with
// late playlists, lost segments and crashes. Readers hold both renditions to the rules, to the
// order in which media were pushed, and to each other; and in the end, when one of the two is
// left, viewers see it.
func FuzzOverlap(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3})
	f.Add([]byte("\x00\x01\x00\x01\x00\x01\x06\x01\x01\x01\x01\x07\x01\x01"))
	f.Add([]byte("\x80\x00\x01\x00\x14\x01\x24\x00\x35\x01\x04\x01\x05\x01\x01"))
	f.Add([]byte("\x40\x02\x03\x02\x08\x03\x09\x02\x03\x0a\x03\x0b\x01\x01\x01"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) < 2 || len(ops) > 60 {
			return
		}
		o := bench.FeedOptions{TS: ops[0]&1 == 0, Undated: ops[0]&0x80 != 0}
		onShow(t, Options{Defaults: Channel{Window: 10 * time.Minute}}, func(s *show) {
			s.loose = true
			d := &duel{show: s, order: map[string]int{}}
			for i := range 2 {
				e := s.encoder(o)
				e.Restart(time.Duration(i) * 3 * time.Hour)
				if i == 1 {
					e.From(int(ops[0]>>1) % 12)
				}
				e.run = i
				d.es = append(d.es, e)
			}
			d.es[0].step(3)
			// Equal dates for equal numbers mean equal media, and one of the two is enough: never
			// do these encoders say so.
			s.pass(500 * time.Millisecond)
			for _, op := range ops[1:] {
				d.do(op)
			}
			last := d.es[ops[1]&1]
			s.pass(10 * time.Second)
			last.step(8)
			s.pass(4 * time.Second)
			for _, name := range []string{"hi", "lo"} {
				got := strings.Fields(s.seen(name))
				for _, word := range got[max(0, len(got)-4):] {
					if !strings.HasPrefix(strings.TrimPrefix(word, "|"), fmt.Sprintf("%d.", last.run)) {
						t.Errorf("%s: the encoder that is left, %d, is not seen: %q", name, last.run, got)
						break
					}
				}
				d.inOrder(name)
			}
			d.inStep()
			t.Logf("hi %q\nlo %q", s.seen("hi"), s.seen("lo"))
		})
	})
}

// duel is the two, and what they pushed in which order.
type duel struct {
	*show
	es    []*encoder
	runs  int
	order map[string]int // by the words of seen, with the rendition
	cuts  [2][]bench.Cut
}

func (d *duel) do(op byte) {
	who := int(op) & 1
	e := d.es[who]
	switch op >> 1 & 7 {
	case 0, 1, 2: // a segment as it should be
		c := d.cut(who)
		for i := range 2 {
			d.push(e, i, c)
			e.ok(e.List(e.ctx, i, c, false))
		}
	case 3: // its playlist first
		c := d.cut(who)
		e.tell(c)
		d.push(e, 0, c)
		d.push(e, 1, c)
	case 4: // one rendition lacks it
		c := d.cut(who)
		d.push(e, int(op>>4)&1, c)
		e.tell(c)
	case 5: // a playlist comes again, late
		if n := len(d.cuts[who]); n > 0 {
			c := d.cuts[who][max(0, n-1-int(op>>4)%6)]
			e.tell(c)
		}
		return
	case 6: // it is killed and started again
		d.runs++
		e.Restart(time.Duration(d.runs+1) * 9 * time.Hour)
		e.run, d.cuts[who] = d.runs+1, nil
	case 7: // its playlist does not come
		c := d.cut(who)
		d.push(e, 0, c)
		d.push(e, 1, c)
	}
	d.pass([]time.Duration{time.Second, 2 * time.Second, time.Second, 3 * time.Second}[op>>4&3])
}

func (d *duel) cut(who int) bench.Cut {
	c := d.es[who].Cut(5)
	d.cuts[who] = append(d.cuts[who], c)
	return c
}

func (d *duel) push(e *encoder, i int, c bench.Cut) {
	e.pushTo(i, c)
	sum := sha256.Sum256(e.Bytes(i, c))
	key := []string{"hi ", "lo "}[i] + string(sum[:])
	if _, ok := d.order[key]; !ok {
		d.order[key] = len(d.order)
	}
}

// inOrder demands that nothing that was pushed later is followed by what was pushed before.
func (d *duel) inOrder(name string) {
	d.Helper()
	m, err := playlist.ParseMedia([]byte(d.get("/live/c/" + name + "/index.m3u8").body))
	if err != nil {
		d.Fatal(err)
	}
	last := -1
	for _, x := range m.Segments {
		if x.Gap {
			continue
		}
		sum := sha256.Sum256([]byte(d.get("/live/c/" + name + "/" + x.URI).body))
		at, ok := d.order[name+" "+string(sum[:])]
		if !ok {
			continue
		}
		if at <= last {
			d.Errorf("%s: %s was pushed before its predecessor: %q", name, x.URI, d.seen(name))
		}
		last = at
	}
}

// inStep demands that a date has one discontinuity number in both renditions. Their segments
// need not begin at the same dates where they came from two encoders: one may reach over the
// other's discontinuity with less than its half.
func (d *duel) inStep() {
	d.Helper()
	var lists [2]*playlist.Media
	for i, name := range []string{"hi", "lo"} {
		lists[i] = d.media(name)
	}
	hi, lo := numbered(lists[0]), numbered(lists[1])
	for _, a := range hi {
		for _, b := range lo {
			from, to := later(a.from, b.from), a.to
			if b.to.Before(to) {
				to = b.to
			}
			if to.Sub(from) > segment2s/2 && a.number != b.number {
				d.Errorf("at %v hi has discontinuity number %d, lo %d: %q, %q", from.Format("04:05.000"), a.number, b.number, d.seen("hi"), d.seen("lo"))
				return
			}
		}
	}
}

// stretch is a segment's time and discontinuity number.
type stretch struct {
	from, to time.Time
	number   uint64
}

func numbered(m *playlist.Media) (out []stretch) {
	number := m.DiscontinuitySequence
	for _, x := range m.Segments {
		if x.Discontinuity {
			number++
		}
		if x.Gap {
			continue // nobody plays it
		}
		out = append(out, stretch{x.ProgramDateTime, x.ProgramDateTime.Add(x.Duration), number})
	}
	return out
}
