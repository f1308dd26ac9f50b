package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/cache/shelf"
	"weir/internal/web"
)

func (x *torture) query() Query {
	kinds := []string{"/n", "/n", "/v", "/m"}
	query := q(fmt.Sprint(kinds[x.n(len(kinds))], x.n(3)), "X", fmt.Sprint(x.n(3)))
	if x.one(10) {
		h := web.NewHeader("X", query.Header.Get("X"), "Authorization", "me")
		query.Header = &h
	}
	query.Class = Class(x.n(int(classes)))
	query.NoPeer, query.Validate, query.Recorded = x.one(4), x.one(8), x.one(4)
	query.Wait = x.pause(8*time.Second) + time.Second
	return query
}

// asker asks for one thing, once, and may leave before or after it is answered.
func (x *torture) asker(during time.Duration) {
	time.Sleep(x.pause(during))
	query := x.query()
	x.mu.Lock()
	last, floor, c := x.last[query.Key+query.Header.Get("X")], max(x.floor[query.Key], x.seen[query.Key+query.Header.Get("X")]), x.c
	x.mu.Unlock()
	start, told := time.Now(), 0
	type reply struct {
		o   *Object
		how Outcome
		at  time.Time
	}
	if o, ok := c.Lookup(query); ok && !query.Validate {
		x.look(c, query, o, Hit, floor, last, start, start)
		return
	} else if ok {
		o.Release()
	}
	ready := make(chan reply, 2)
	cancel := c.Ask(query, x.fill(query), func(o *Object, how Outcome, err error) {
		if (o == nil) == (err == nil) {
			x.t.Errorf("%s: told %v and %v", query.Key, o, err)
		}
		told++
		ready <- reply{o, how, time.Now()}
	})
	leaves := time.After(time.Hour)
	if x.one(4) {
		leaves = time.After(x.pause(3 * time.Second))
	}
	select {
	case r := <-ready:
		if took := r.at.Sub(start); took > query.Wait+grain {
			x.t.Errorf("%s: waited %v, allowed were %v", query.Key, took, query.Wait)
		}
		x.look(c, query, r.o, r.how, floor, last, start, r.at)
		cancel()
	case <-leaves:
		cancel()
		select {
		case r := <-ready: // it was on its way
			x.look(c, query, r.o, r.how, floor, last, start, r.at)
		default:
			time.Sleep(15 * time.Second)
			if told != 0 {
				x.t.Errorf("%s: told after it was cancelled", query.Key)
			}
			return
		}
	}
	time.Sleep(15 * time.Second)
	if told != 1 {
		x.t.Errorf("%s: told %d times", query.Key, told)
	}
}

// look reads an answer to a question of a time, given at another, and judges it.
func (x *torture) look(c *Cache, query Query, o *Object, how Outcome, floor int, last, asked, given time.Time) {
	if o == nil {
		return
	}
	if o.Status() == 304 {
		x.t.Errorf("a viewer got 304")
	}
	fromDisk := o.body != nil && o.body.at != (shelf.Place{})
	if x.one(6) || o.Status() != 200 {
		time.Sleep(x.pause(time.Second))
		o.Release()
		return
	}
	resp := o.Response(time.Now())
	o.Release()
	defer resp.Close()
	if x.one(4) {
		time.Sleep(x.pause(2 * time.Second)) // a slow reader
	}
	p, err := web.ReadAll(context.Background(), resp.Body, 1<<20)
	if err != nil {
		if !errors.Is(err, web.ErrAborted) {
			x.t.Errorf("%s: %v", query.Key, err)
		}
		return
	}
	line, _, _ := strings.Cut(string(p), "\n")
	var size, id int
	var kind string
	var g thing
	if _, err := fmt.Sscan(line, &size, &g.key, &g.x, &g.version, &kind, &id); err != nil || string(p) != text(line, size) {
		x.t.Errorf("%s: %d bytes that nobody said, beginning with %.60q", query.Key, len(p), p)
		return
	}
	bad := func(what string) {
		x.t.Helper()
		x.t.Errorf("%s for X %s, %v, asked at %v, answered at %v with %q: %s; upstream said %v", query.Key, query.Header.Get("X"), how,
			asked.Format("04:05.000"), given.Format("04:05.000"), line, what, x.said[g])
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.how[how]++
	if fromDisk {
		x.old++
	}
	switch {
	case g.key != query.Key:
		bad("that is another key")
	case g.x != "*" && g.x != query.Header.Get("X"):
		bad("that is another variant")
	case g.version < floor:
		bad(fmt.Sprint("version ", floor, " was there, and the key invalidated, or it was given to others before"))
	case kind == "personal":
		if x.once[line]++; x.once[line] > 1 {
			bad("it was for one only")
		}
		return
	}
	if !strings.HasPrefix(g.key, "/m") && how != Pass && c == x.c {
		x.seen[g.key+query.Header.Get("X")] = max(g.version, x.seen[g.key+query.Header.Get("X")])
		for _, m := range x.said[g] {
			// What is said to one who identified himself need not be kept.
			if how == Revalidated && !query.Header.Has("Authorization") && !m.at.After(given) && m.at.After(x.last[g.key+query.Header.Get("X")]) {
				x.last[g.key+query.Header.Get("X")] = m.at
			}
		}
	}
	if cookie := resp.Get("Set-Cookie"); cookie != "" {
		if x.once[cookie]++; x.once[cookie] > 1 {
			bad("its cookie was for one only")
		}
	}
	if !slices.ContainsFunc(x.said[g], func(m grant) bool {
		age, news := given.Sub(m.at), !m.at.Before(asked)
		switch {
		case news:
			return true // upstream said so since
		case m.noCache, m.at.Before(last):
			return false
		case how == Stale:
			return !m.mustAsk && age < m.fresh+max(m.swr, m.sie)
		case query.Validate:
			return false
		}
		return age < m.fresh
	}) {
		bad("upstream does not allow that")
	}
}
