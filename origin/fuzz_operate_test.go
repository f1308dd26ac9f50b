package origin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/playlist"
)

// ranged holds what two playlists after another say of date ranges to the rules.
type ranged struct {
	told map[string]playlist.DateRange
	gone map[string]bool
}

func (b *ranged) check(m *playlist.Media) (broken []string) {
	now := map[string]bool{}
	for _, d := range m.DateRanges {
		now[d.ID] = true
		was, ok := b.told[d.ID]
		if is := d; ok && is.Merge(&was) != "" {
			broken = append(broken, fmt.Sprintf("date range %s was %+v and is %+v", d.ID, was, d))
		}
		if b.gone[d.ID] {
			broken = append(broken, fmt.Sprintf("date range %s came back", d.ID))
		}
		b.told[d.ID] = d
	}
	for id, d := range b.told {
		if now[id] || b.gone[id] {
			continue
		}
		if d.Duration != nil && len(m.Segments) > 0 && m.Segments[0].ProgramDateTime.Before(d.Start.Add(*d.Duration)) {
			broken = append(broken, fmt.Sprintf("date range %s went before its end", id))
		}
		b.gone[id] = true
	}
	return broken
}

// Whatever an operator does to a channel while its encoder pushes, restarts and marks its
// programme, viewers are told the truth, and what was told of a date range stands.
func FuzzOperate(f *testing.F) {
	f.Add([]byte{0, 0, 0, 8, 0, 9, 0, 0, 10, 0, 0})
	f.Add([]byte{0, 1, 1, 2, 18, 34, 0, 3, 0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 2})
	f.Add([]byte{0, 4, 20, 36, 0, 8, 4, 0, 9, 4, 0, 5, 0, 1, 0, 11, 0, 0})
	f.Add([]byte{0, 0, 2, 6, 6, 0, 8, 7, 0, 9, 0, 10, 6, 6, 6, 6, 0, 2})
	f.Add([]byte("\x01\x01\x12\x13\x00\x00\x00\x00\x00\x02\x00\x03\x02")) // one that its encoder dropped got an end by the next
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 150 {
			ops = ops[:150]
		}
		o := Options{Defaults: Channel{Window: 8 * time.Second, Retention: 5 * time.Second}}
		underClock(t, o, func(r *rig) {
			var begun time.Time
			ranges := &ranged{map[string]playlist.DateRange{}, map[string]bool{}}
			clock, run, n := time.Now(), 0, 0
			push := func(lines ...string) {
				_, _ = r.send("PUT", fmt.Sprintf("/ingest/c/x%d.ts", n), strings.NewReader(fmt.Sprint(run, n)))
				n++
				_, _ = r.send("PUT", "/ingest/c/index.m3u8", strings.NewReader(dated(clock, n, lines...)))
			}
			for i, op := range ops {
				arg := int(op / 16)
				id := fmt.Sprint(arg % 4)
				at := clock.Add(time.Duration(2*n+arg) * time.Second)
				switch op % 16 {
				case 0:
					push()
				case 1:
					push(tag("ID=%q,DURATION=%d", at, id, arg))
				case 2:
					push(tag("ID=%q", at, id), tag("ID=%q,CLASS=\"c\",END-ON-NEXT=YES", at, id+"n"))
				case 3:
					push(tag("ID=%q,DURATION=3", clock, "s"+id))
				case 4:
					_, _, _ = r.o.AddDateRange("c", playlist.DateRange{ID: "o" + id, Start: time.Now().Add(time.Duration(arg) * time.Second)})
				case 5:
					_, _, _ = r.o.AddDateRange("c", playlist.DateRange{ID: "o" + id, Start: time.Now(), Duration: new(time.Duration(arg) * time.Second)})
				case 6:
					time.Sleep(time.Duration(arg*arg) * time.Minute)
				case 7: // the encoder starts over
					clock, run, n = time.Now(), run+1, 0
				case 8:
					_ = r.o.End("c")
				case 9:
					_ = r.o.Resume("c")
				case 10:
					_ = r.o.Remove("c")
				case 11: // the encoder's clock jumps
					clock = clock.Add(time.Duration(arg-8) * time.Hour)
				case 12:
					n++ // never uploaded
				}
				time.Sleep([]time.Duration{0, 100 * time.Millisecond, 2 * time.Second, 3 * time.Second}[(arg+i)%4])
				s, err := r.o.Stream("c")
				a := r.get("/live/c/main/index.m3u8")
				if err != nil || a.status != 200 {
					if a.status != 404 && a.status != 410 {
						t.Fatal(a.status, a.body)
					}
					continue
				}
				if s.Since != begun { // another channel
					begun, ranges = s.Since, &ranged{map[string]playlist.DateRange{}, map[string]bool{}}
					r.books = map[string]*book{}
				}
				for _, broken := range ranges.check(r.media("main")) {
					t.Errorf("op %d: %s\n%s", i, broken, a.body)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		})
	})
}
