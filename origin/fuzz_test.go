package origin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

// gate is the body of an upload that is under way until it is told how to end.
type gate struct {
	content string
	end     chan error // io.EOF: whole
}

func (g *gate) Read(p []byte) (int, error) {
	if g.content != "" {
		n := copy(p, g.content)
		g.content = g.content[n:]
		return n, nil
	}
	return 0, <-g.end
}

// pusher is an encoder of one rendition whose uploads end in any order, or not at all.
type pusher struct {
	r     *rig
	wg    *sync.WaitGroup
	name  string
	run   int
	next  int
	long  map[int]bool
	under []*gate
	sent  []string // playlists of this run
}

func (p *pusher) begin(index int) {
	g := &gate{fmt.Sprintf("%s %04d.%04d", p.name, p.run, index), make(chan error, 1)}
	p.under = append(p.under, g)
	path := fmt.Sprintf("/ingest/c/%s/x%d.ts", p.name, index)
	p.wg.Go(func() { _, _ = p.r.send("PUT", path, g) })
	synctest.Wait() // it has begun
}

func (p *pusher) end(i int, err error) {
	if len(p.under) == 0 {
		return
	}
	i = max(0, min(i, len(p.under)-1))
	p.under[i].end <- err
	p.under = slices.Delete(p.under, i, i+1)
	synctest.Wait()
}

func (p *pusher) playlist(end bool) string {
	var words []string
	first := max(0, p.next-5)
	for i := first; i < p.next; i++ {
		word := fmt.Sprintf("x%d.ts", i)
		if p.long[i] {
			word += ":7.3"
		}
		words = append(words, word)
	}
	if end {
		words = append(words, "END")
	}
	return list(first, words...)
}

func (p *pusher) push(text string) {
	_, _ = p.r.send("PUT", "/ingest/c/"+p.name+"/index.m3u8", strings.NewReader(text))
}

// do lets one byte of the fuzzer's happen.
func (p *pusher) do(op byte) {
	p.r.Logf("%v %s: op %d, run %d, next %d, under way %d", time.Now().Format("04:05.0"), p.name, op%16, p.run, p.next, len(p.under))
	switch op % 16 {
	case 0, 1:
		p.begin(p.next)
		p.next++
	case 2, 3:
		p.end(0, io.EOF)
	case 4:
		p.end(len(p.under), io.EOF)
	case 5:
		p.end(0, io.ErrUnexpectedEOF)
	case 6, 7:
		text := p.playlist(false)
		p.sent = append(p.sent, text)
		p.push(text)
	case 8:
		if n := len(p.sent); n > 0 {
			p.push(p.sent[max(0, n-1-int(op/16)%4)])
		}
	case 9: // killed and started again; what is under way may yet end
		p.run, p.next, p.sent, p.long = p.run+1, 0, nil, map[int]bool{}
		time.Sleep(4 * time.Second)
	case 10:
		p.push(p.playlist(true))
	case 11:
		if p.next > 0 {
			p.begin(p.next - 1) // once more
		}
	case 12:
		p.next++ // never uploaded
	case 13:
		p.long[p.next] = true
	case 14:
		p.push(list(int(op/16), "../../etc/passwd", "http://evil.example/x.ts"))
	case 15:
		_, _ = p.r.send("DELETE", fmt.Sprintf("/ingest/c/%s/x%d.ts", p.name, p.next), nil)
	}
}

// watch holds what viewers are told to the rules, and to the truth: what is listed is there,
// and what was pushed later is never followed by what was pushed before.
type watch struct {
	r    *rig
	b    map[string]*book
	last map[string]string // content of the segment published last
	seen map[string]uint64 // next number to look at
}

func (w *watch) look(name string) {
	a := w.r.get("/live/c/" + name + "/index.m3u8")
	if a.status == 404 || a.status == 410 {
		return
	}
	m, err := playlist.ParseMedia([]byte(a.body))
	if err != nil {
		w.r.Fatalf("%v\n%s", err, a.body)
	}
	if w.b[name] == nil {
		w.b[name] = &book{said: map[uint64]said{}}
	}
	for _, broken := range w.b[name].check(m) {
		w.r.Fatalf("%s: %s\n%s", name, broken, a.body)
	}
	for i, s := range m.Segments {
		got := w.r.get("/live/c/" + name + "/" + s.URI)
		n := m.MediaSequence + uint64(i)
		switch {
		case s.Gap:
			if got.status == 200 {
				w.r.Fatalf("%s is a gap and is served", s.URI)
			}
		case got.status != 200 || !strings.HasPrefix(got.body, name+" "):
			w.r.Fatalf("%s is listed and is %d %q", s.URI, got.status, got.body)
		case n >= w.seen[name]:
			if cmp.Compare(got.body, w.last[name]) <= 0 {
				w.r.Fatalf("%s: %q follows %q", name, got.body, w.last[name])
			}
			w.last[name], w.seen[name] = got.body, n+1
		}
	}
}

// Whatever encoders push, cut off, repeat, reorder and forget, viewers are told the truth
// and nothing that a player would choke on.
func FuzzPushes(f *testing.F) {
	f.Add([]byte{0, 2, 6, 0, 2, 6, 0, 2, 6})
	f.Add([]byte{6, 0, 2, 0, 6, 2, 8, 24, 40})
	f.Add([]byte{0, 2, 6, 0, 2, 6, 0, 2, 6, 9, 6, 0, 2, 0, 2, 6, 8})
	f.Add([]byte{0, 2, 6, 0, 6, 5, 0, 2, 6, 0xff, 0, 2, 6, 13, 0, 2, 6, 0, 2, 6, 10, 8, 9, 0, 2, 6})
	f.Add([]byte{0, 0, 0, 4, 2, 2, 6, 9, 0, 2, 6, 3, 0, 2, 6, 12, 0, 2, 6, 14, 15, 11, 2, 6})
	f.Add([]byte("\x00\x02\x06\x80\x82\x86\x00\x02\x06\x09\x80\x82\x86\x00\x02\x06\x89\x80\x82\x86"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 200 {
			ops = ops[:200]
		}
		underClock(t, Options{Defaults: Channel{Window: 8 * time.Second, Retention: 5 * time.Second}}, func(r *rig) {
			var wg sync.WaitGroup
			w := &watch{r, map[string]*book{}, map[string]string{}, map[string]uint64{}}
			ps := []*pusher{{r: r, wg: &wg, name: "a", long: map[int]bool{}}, {r: r, wg: &wg, name: "b", long: map[int]bool{}}}
			defer func() {
				for _, p := range ps {
					for len(p.under) > 0 {
						p.end(0, io.ErrUnexpectedEOF)
					}
				}
				wg.Wait()
			}()
			for i, op := range ops {
				ps[op>>7].do(op & 0x7f)
				time.Sleep([]time.Duration{0, 100 * time.Millisecond, time.Second, 3 * time.Second}[(int(op)/16+i)%4])
				w.look("a")
				w.look("b")
			}
			time.Sleep(time.Minute)
			w.look("a")
			w.look("b")
		})
	})
}

// FuzzIngest throws any bytes at any path.
func FuzzIngest(f *testing.F) {
	f.Add("/ingest/c/index.m3u8", []byte(list(0, "x0.ts", "map=i.mp4", "!", "x1.ts", "END")))
	f.Add("/ingest/c/master.m3u8", []byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na/index.m3u8\n"))
	f.Add("/ingest/k/x/c/x0.ts", []byte("G"))
	f.Add("/ingest/c/x0.ts", append([]byte("G"), make([]byte, 400)...))
	f.Add("/ingest/c/i.mp4", []byte("\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov"))
	f.Add("/ingest/c/x1.m4s", []byte("\x00\x00\x00\x08moof\x00\x00\x00\x09mdat."))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		r := newRig(t, Options{})
		defer r.close()
		for range 2 {
			_, err := r.send("PUT", path, strings.NewReader(string(body)))
			if s := web.StatusOf(err); err != nil && s >= 500 && s != 503 {
				t.Fatalf("%q: %v", path, err)
			}
		}
		for _, p := range []string{"i.mp4", "x0.ts", "x1.ts", "x1.m4s"} {
			_, _ = r.send("PUT", "/ingest/c/"+p, strings.NewReader(string(body)))
		}
		_, _ = r.send("PUT", "/ingest/c/index.m3u8", strings.NewReader(list(0, "map=i.mp4", "x0.ts", "x1.m4s", "x1.ts")))
		_, _ = r.send("PUT", "/ingest/c/v.m3u8", strings.NewReader(list(0, "x0.ts", "x1.m4s", "x1.ts")))
		for _, s := range r.o.Streams() {
			for _, x := range s.Renditions {
				resp, err := r.o.Viewers().Serve(context.Background(), &web.Request{Method: "GET", Path: "/live/" + s.Channel + "/" + x.Name + "/index.m3u8"})
				if err != nil {
					t.Fatal(err)
				}
				text, err := web.ReadAll(context.Background(), resp.Body, 1<<30)
				resp.Close()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := playlist.ParseMedia(text); resp.Status == 200 && err != nil && !errors.Is(err, playlist.ErrTooLarge) {
					t.Fatalf("%v\n%s", err, text)
				}
			}
		}
	})
}
