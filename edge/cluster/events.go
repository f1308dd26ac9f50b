package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"
)

// A Kind is what happened to a member.
type Kind string

// The kinds of events.
const (
	Joined   Kind = "joined"   // it is there, for the first time or again
	Changed  Kind = "changed"  // it says something new of itself: draining, weight, address
	Left     Kind = "left"     // it went on purpose
	Died     Kind = "died"     // it went without leaving; it is looked for from now on
	Conflict Kind = "conflict" // another node goes by its name and is not let in
)

// An Event is one change of membership as this node sees it.
type Event struct {
	Kind   Kind
	Member Member // without its share
	Other  string // of a Conflict: the gossip address of the other node
}

// emit hands an event to Run, without waiting: it is called under locks.
func (c *Cluster) emit(e Event) {
	select {
	case c.events <- e:
	default:
		c.dropped.Add(1)
	}
}

// tell logs an event and passes it on.
func (c *Cluster) tell(e Event) {
	if n := c.dropped.Swap(0); n > 0 {
		c.log.Warn("membership changed faster than could be told", "dropped", n)
	}
	m := e.Member
	log := c.log.With("member", m.Name, "gossip", m.Gossip, "members", c.Alive())
	switch {
	case e.Kind == Conflict:
		log.Error("two nodes have one name: give each a name of its own", "other", e.Other)
	case m.State == Unroutable:
		log.Warn("member "+string(e.Kind)+", but cannot be asked for anything", "why", m.Why)
	case e.Kind == Died:
		log.Warn("member died; it is looked for", "peer", m.Peer)
	case m.Self: // what it does by itself it says elsewhere
		log.Debug("member "+string(e.Kind), "state", m.State)
	default:
		log.Info("member "+string(e.Kind), "peer", m.Peer, "zone", m.Zone, "weight", m.Weight, "state", m.State)
	}
	if c.opts.OnChange != nil {
		c.opts.OnChange(e)
	}
}

// logWriter takes memberlist's lines into our log: one level down, because
// what matters among them is an event of ours already, and no more than
// maxLines of them in each span of time.
type logWriter struct {
	log *slog.Logger

	mu      sync.Mutex // guards all below
	since   time.Time
	lines   int
	dropped int
}

const (
	maxLines  = 20
	linesSpan = 10 * time.Second
)

// Write implements io.Writer: one call a line, as log.Logger makes them.
func (w *logWriter) Write(p []byte) (int, error) {
	level, text := levelOf(p)
	if !w.log.Enabled(context.Background(), level) {
		return len(p), nil
	}
	ok, dropped := w.allow()
	if dropped > 0 {
		w.log.Warn("gossip: lines dropped", "dropped", dropped)
	}
	if ok {
		w.log.Log(context.Background(), level, "gossip: "+text)
	}
	return len(p), nil
}

func (w *logWriter) allow() (ok bool, dropped int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); now.Sub(w.since) >= linesSpan {
		dropped, w.since, w.lines, w.dropped = w.dropped, now, 0, 0
	}
	if w.lines++; w.lines > maxLines {
		w.dropped++
		return false, 0
	}
	return true, dropped
}

// levelOf reads "[WARN] memberlist: text".
func levelOf(line []byte) (slog.Level, string) {
	level := slog.LevelDebug
	name, text, found := bytes.Cut(line, []byte("] "))
	if !found {
		text = line
	}
	switch string(name) {
	case "[WARN":
		level = slog.LevelInfo
	case "[ERR", "[ERROR":
		level = slog.LevelWarn
	}
	return level, string(bytes.TrimPrefix(bytes.TrimSpace(text), []byte("memberlist: ")))
}
