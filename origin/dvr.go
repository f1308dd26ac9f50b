package origin

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

// DVR: /live/{channel}/@{span}/index.m3u8 and .../@{span}/{rendition}/index.m3u8 are playlists
// over the same segments under the same names as live ones, so that whoever has these cached
// has those. An open span is an EVENT, which grows with the channel, until it is as long as
// the DVR is deep; a closed one is a VOD, once it is over.

// maxPasts is how many rendered playlists over the past are kept.
const maxPasts = 256

// pasts keeps what was rendered of the past: a closed span is rendered once, an open one once
// for each change of its rendition, whoever asks.
type pasts struct {
	limit int64 // bytes of playlists kept

	mu    sync.Mutex // guards what follows
	all   map[pastKey]*pastText
	used  []pastKey // in the order they were made
	bytes int64
}

type pastKey struct {
	r *rendition
	s span
}

type pastText struct {
	of      *snapshot
	version uint64        // of the shelf
	first   atomic.Uint64 // number of the first segment in it; 0: not yet known
	bytes   int64         // 0: not yet known; guarded by pasts.mu
	text    func() *rendered
}

// get returns what is kept of a key, or what make makes, which returns the number of the first
// segment in it too. A closed span does not depend on what was published since, and none lists
// what is not kept any more.
func (p *pasts) get(key pastKey, of *snapshot, make func() (uint64, func() *rendered)) *rendered {
	version, oldest := key.r.shelf.changes(), key.r.keptFrom()
	p.mu.Lock()
	t := p.all[key]
	if t == nil || t.version != version || key.s.open() && t.of != of || t.first.Load() > 0 && t.first.Load() < oldest {
		if t == nil {
			p.used = append(p.used, key)
		} else {
			p.bytes -= t.bytes
		}
		t = &pastText{of: of, version: version}
		t.text = sync.OnceValue(func() *rendered {
			first, text := make()
			t.first.Store(first)
			return text()
		})
		if p.all == nil {
			p.all = map[pastKey]*pastText{}
		}
		p.all[key] = t
	}
	p.mu.Unlock()
	d := t.text()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[key] == t && t.bytes == 0 && d != nil {
		t.bytes = int64(len(d.plain))
		p.bytes += t.bytes
	}
	for len(p.used) > 1 && (len(p.used) > maxPasts || p.bytes > p.limit) {
		p.bytes -= p.all[p.used[0]].bytes
		delete(p.all, p.used[0])
		p.used = p.used[1:]
	}
	return d
}

// forget lets go of what is kept of a channel's renditions.
func (p *pasts) forget(order []*rendition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = slices.DeleteFunc(p.used, func(k pastKey) bool {
		gone := slices.Contains(order, k.r)
		if gone {
			p.bytes -= p.all[k].bytes
			delete(p.all, k)
		}
		return gone
	})
}

// viewPast answers what lies behind a span in a channel's path.
func (c *channel) viewPast(req *web.Request, text, file string) (answerKind, *web.Response, error) {
	if c.config.DVR == 0 || c.vault == nil {
		return otherAnswer, missing("no_dvr", "the channel has no DVR (channels.*.dvr, store.dir)", time.Minute), nil
	}
	if c.State() == StateRemoved {
		return otherAnswer, c.withdrawnAnswer(), nil
	}
	s, err := parseSpan(c.name, text)
	if err != nil {
		return otherAnswer, nil, err
	}
	if file == "index.m3u8" {
		return multivariantAnswer, c.viewPastMulti(req), nil
	}
	name, file, _ := strings.Cut(file, "/")
	r := (*c.byName.Load())[name]
	if r == nil {
		return otherAnswer, missing("no_such_rendition", "no such rendition: "+quote(name), soon), nil
	}
	if file != "index.m3u8" {
		return otherAnswer, missing("no_such_file", "no such file: "+quote(file), soon), nil
	}
	return playlistAnswer, r.viewPast(req, s, &c.o.pasts), nil
}

// viewPastMulti answers with what the channel's multivariant playlist said last: URIs in it
// are relative, so it holds for every span.
func (c *channel) viewPastMulti(req *web.Request) *web.Response {
	m := c.pastMulti.Load()
	if m == nil {
		return missing("not_yet", "the channel has not begun to publish", soon)
	}
	const life = "max-age=10"
	return m.text().answer(req, life, ", stale-while-revalidate=60", ", stale-if-error=600")
}

// viewPast answers with a playlist over a span.
func (r *rendition) viewPast(req *web.Request, s span, kept *pasts) *web.Response {
	td := r.targetDuration()
	live := r.now.Load()
	over := live.ended || live.gone // nothing more will come, or nobody knows when
	oldest, _, n := r.shelf.span()
	late := r.rule.window // by how much what belongs to a time may come after it
	if over {
		late = 0
	}
	switch {
	case !s.open() && s.end.After(live.edge) && time.Now().Before(s.end.Add(late)):
		return missing("not_over", "the span is not over yet: @START alone follows it", soon)
	case s.start.After(live.edge):
		return missing("not_yet", "nothing of that time is published yet", soon)
	case n > 0 && s.start.Before(oldest.Add(-td)) && s.open():
		return missing("expired", "the channel's DVR begins at "+oldest.UTC().Format(spanTime)+" (channels.*.dvr)", td)
	}
	until, ended := s.end, true
	if s.open() {
		until, ended = time.Time{}, over
		if most := s.start.Add(r.rule.dvr); live.edge.After(most) {
			until, ended = most, true
		}
	}
	text := kept.get(pastKey{r, s}, live, func() (uint64, func() *rendered) {
		p, kind := r.between(s.start, until), playlist.Event
		if !s.open() {
			kind = playlist.VOD
			p.trim()
		}
		if len(p.list) == 0 {
			return 0, func() *rendered { return nil }
		}
		r.shelf.served(p.lasts())
		m := p.media(kind, "../../"+r.name+"/", ended)
		return p.list[0].number, render(m.Append, r.metrics)
	})
	if text == nil {
		return missing("expired", "nothing of that time is kept", td)
	}
	life := maxAge(td / 2)
	if ended {
		life = maxAge(max(td, min(time.Hour, time.Until(s.start.Add(r.rule.dvr)))))
	}
	return r.named(text.answer(req, life, ", stale-while-revalidate=1", whileAway))
}
