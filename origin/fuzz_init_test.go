package origin

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/playlist"
)

// mp4Pusher is an encoder of fragmented MP4 that opens the upload of its init segment when it
// starts, and ends it whenever it likes.
type mp4Pusher struct {
	r     *rig
	wg    *sync.WaitGroup
	run   int
	next  int
	under []*gate
}

func (p *mp4Pusher) begin(file, content string) {
	g := &gate{content, make(chan error, 1)}
	p.under = append(p.under, g)
	p.wg.Go(func() { _, _ = p.r.send("PUT", "/ingest/c/v/"+file, g) })
	synctest.Wait()
}

func (p *mp4Pusher) end(i int, err error) {
	if len(p.under) == 0 {
		return
	}
	i = min(i, len(p.under)-1)
	p.under[i].end <- err
	p.under = slices.Delete(p.under, i, i+1)
	synctest.Wait()
}

// init is what the present run's init segment holds; some runs have that of the one before.
func (p *mp4Pusher) init() string {
	return "\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov" + fmt.Sprintf(" init %d", p.run/2)
}

func (p *mp4Pusher) media() string {
	return "\x00\x00\x00\x08styp" + fmt.Sprintf(" media %d %d", p.run, p.next)
}

func (p *mp4Pusher) do(op byte) {
	switch op % 12 {
	case 0, 1:
		p.begin(fmt.Sprintf("x%d.m4s", p.next), p.media())
		p.next++
	case 2, 3:
		p.end(0, io.EOF)
	case 4:
		p.end(len(p.under), io.EOF)
	case 5:
		p.end(0, io.ErrUnexpectedEOF)
	case 6, 7:
		words := []string{"map=init.mp4"}
		first := max(0, p.next-5)
		for i := first; i < p.next; i++ {
			words = append(words, fmt.Sprintf("x%d.m4s", i))
		}
		_, _ = p.r.send("PUT", "/ingest/c/v/index.m3u8", strings.NewReader(list(first, words...)))
	case 8, 9:
		p.begin("init.mp4", p.init())
	case 10:
		p.run, p.next = p.run+1, 0
	case 11:
		p.next++
	}
}

// look holds what viewers are told to the rules, and fetches all that it names.
func (p *mp4Pusher) look(b *book) {
	a := p.r.get("/live/c/v/index.m3u8")
	if a.status != 200 {
		return
	}
	m, err := playlist.ParseMedia([]byte(a.body))
	if err != nil {
		p.r.Fatalf("%v\n%s", err, a.body)
	}
	for _, broken := range b.check(m) {
		p.r.Fatalf("%s\n%s", broken, a.body)
	}
	for _, s := range m.Segments {
		if s.Map == nil {
			p.r.Fatalf("%s has no EXT-X-MAP\n%s", s.URI, a.body)
		}
		if got := p.r.get("/live/c/v/" + s.Map.URI); got.status != 200 || !strings.Contains(got.body, "init") {
			p.r.Fatalf("%s is named and is %d %q\n%s", s.Map.URI, got.status, got.body, a.body)
		}
		if got := p.r.get("/live/c/v/" + s.URI); s.Gap != (got.status == 404) || !s.Gap && !strings.Contains(got.body, "media") {
			p.r.Fatalf("%s is listed, gap %v, and is %d %q\n%s", s.URI, s.Gap, got.status, got.body, a.body)
		}
	}
}

// Whenever an encoder sends, repeats, replaces or loses its init segment, what EXT-X-MAP
// names is there, and in the end all memory is given back.
func FuzzInits(f *testing.F) {
	f.Add([]byte{8, 0, 2, 2, 6, 0, 2, 6, 0, 2, 6})
	f.Add([]byte{0, 44, 28, 18, 10, 46, 32, 16, 2}) // replaced while a segment waits with it
	f.Add([]byte{0, 2, 6, 8, 2, 0, 2, 6, 8, 2, 0, 2, 6, 8, 5, 0, 2, 6})
	f.Add([]byte{8, 0, 6, 2, 2, 10, 10, 8, 0, 6, 4, 2, 6, 0, 2, 6, 10, 8, 2, 0, 6, 2})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 150 {
			ops = ops[:150]
		}
		underClock(t, Options{Defaults: Channel{Window: 8 * time.Second, Retention: 5 * time.Second}}, func(r *rig) {
			var wg sync.WaitGroup
			p, b := &mp4Pusher{r: r, wg: &wg}, &book{said: map[uint64]said{}}
			defer func() {
				for len(p.under) > 0 {
					p.end(0, io.ErrUnexpectedEOF)
				}
				wg.Wait()
			}()
			for i, op := range ops {
				p.do(op)
				time.Sleep([]time.Duration{0, 100 * time.Millisecond, time.Second, 3 * time.Second}[(int(op)/12+i)%4])
				p.look(b)
			}
			time.Sleep(time.Minute)
			p.look(b)
		})
	})
}
