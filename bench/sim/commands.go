package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/bench"
)

type command func(w *world, l line) (string, error)

var commands = map[string]command{
	"world":    (*world).create,
	"encoder":  (*world).encoder,
	"step":     (*world).step,
	"restart":  (*world).restart,
	"skip":     (*world).skip,
	"show":     (*world).show,
	"viewers":  (*world).viewers,
	"players":  (*world).players,
	"stop":     (*world).stop,
	"lag":      (*world).lag,
	"advance":  (*world).advance,
	"hold":     (*world).holdBodies,
	"release":  (*world).release,
	"kill":     (*world).kill,
	"revive":   (*world).revive,
	"reborn":   (*world).reborn,
	"leave":    (*world).leave,
	"members":  (*world).members,
	"owner":    (*world).owner,
	"report":   (*world).report,
	"audience": (*world).audience,
	"prefetch": (*world).prefetch,
	"disks":    (*world).onDisk,
}

func commandNames() []string { return slices.Sorted(maps.Keys(commands)) }

// encoder NAME [rungs=1] [loop=yes] [playlist=first]: an encoder that will push
// channel NAME to every origin. With loop its timestamps begin again with each
// loop of the clip.
func (w *world) encoder(l line) (string, error) {
	rungs, err := l.number("rungs", 1)
	if err != nil {
		return "", err
	}
	var es []*bench.Encoder
	for _, o := range w.origins {
		e, err := bench.NewEncoder(bench.EncoderOptions{Ingest: o.ingest, Channel: l.word(1), Rungs: rungs,
			Continuous: l.opts["loop"] == "", PlaylistFirst: l.opts["playlist"] == "first"})
		if err != nil {
			return "", err
		}
		es = append(es, e)
	}
	w.encoders[l.word(1)] = es
	return "", nil
}

// step NAME [N]: the encoder pushes N more segments, one each two seconds.
func (w *world) step(l line) (string, error) {
	es, err := w.encoderOf(l)
	if err != nil {
		return "", err
	}
	n := 1
	if l.word(2) != "" {
		if n, err = strconv.Atoi(l.word(2)); err != nil {
			return "", err
		}
	}
	for range n {
		for i, e := range es {
			if w.origins[i].lags {
				continue
			}
			if err := e.Step(w.ctx); err != nil {
				return "", err
			}
		}
		w.wait(bench.ClipSegment)
	}
	return "", nil
}

// lag ORIGIN: from now on encoders' pushes to it get lost.
func (w *world) lag(l line) (string, error) {
	for _, o := range w.origins {
		if o.name == l.word(1) {
			o.lags = true
			return "", nil
		}
	}
	return "", fmt.Errorf("no origin %q", l.word(1))
}

// stop: all players leave.
func (w *world) stop(line) (string, error) {
	for _, leave := range w.audiences {
		leave()
	}
	w.audiences, w.swarm = nil, 0
	w.settle()
	return "", nil
}

// prefetch: what was fetched before anybody asked for it, over all edges, and how
// much of all media that was for nothing: not to the byte, since that depends on
// whose clock strikes first.
func (w *world) prefetch(line) (string, error) {
	var media, ahead, lost int64
	for _, e := range w.edges {
		s := e.aware.Stats()
		media, ahead, lost = media+s.MediaBytes, ahead+s.PrefetchBytes, lost+s.UnwantedBytes
	}
	vain := "none"
	switch {
	case lost*20 > media:
		vain = fmt.Sprintf("%d of %d bytes, more than 5 %%", lost, media)
	case lost > 0:
		vain = "less than 5 %"
	}
	return fmt.Sprintf("fetched ahead: %v; in vain: %s", ahead > 0, vain), nil
}

// disks: whether every edge has written something to its disk, and whether any of
// them holds bytes or waiters although all who asked have their answer.
func (w *world) onDisk(line) (string, error) {
	w.wait(time.Second)
	written, rest := true, int64(0)
	for _, e := range w.edges {
		s := e.cache.Stats()
		written = written && s.Disk != nil && s.Disk.Objects > 0
		rest += s.Waiters + s.Parked + s.InAir
	}
	return fmt.Sprintf("written to by all: %v; still waiting or in the air: %d", written, rest), nil
}

// restart NAME: the encoder is killed and started again: it will begin with
// segment 0 under its old name.
func (w *world) restart(l line) (string, error) {
	es, err := w.encoderOf(l)
	for _, e := range es {
		e.Restart()
	}
	return "", err
}

// skip NAME: the encoder's next segment gets lost on its way.
func (w *world) skip(l line) (string, error) {
	es, err := w.encoderOf(l)
	for _, e := range es {
		e.Skip()
	}
	return "", err
}

func (w *world) encoderOf(l line) ([]*bench.Encoder, error) {
	es := w.encoders[l.word(1)]
	if es == nil {
		return nil, fmt.Errorf("no encoder %q", l.word(1))
	}
	return es, nil
}

// advance D: time goes by.
func (w *world) advance(l line) (string, error) {
	d, err := time.ParseDuration(l.word(1))
	if err != nil {
		return "", err
	}
	w.wait(d)
	return w.answers(), nil
}

// hold NODE BYTES: every body NODE sends from now on stops after so many bytes.
func (w *world) holdBodies(l line) (string, error) {
	k, err := w.link(l.word(1))
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseInt(l.word(2), 10, 64)
	if err != nil {
		return "", err
	}
	k.holdAfter(n)
	return "", nil
}

// release NODE: held bodies go on.
func (w *world) release(l line) (string, error) {
	k, err := w.link(l.word(1))
	if err != nil {
		return "", err
	}
	k.release()
	w.settle()
	return w.answers(), nil
}

// kill NODE: nobody reaches it any more and what it was sending is cut; the
// others learn of it by themselves.
func (w *world) kill(l line) (string, error) {
	k, err := w.link(l.word(1))
	if err != nil {
		return "", err
	}
	k.cut()
	if e := w.edge(l.word(1)); e != nil {
		e.die()
	}
	w.settle()
	return w.answers(), nil
}

// revive NODE: an origin that was killed can be reached again.
func (w *world) revive(l line) (string, error) {
	if w.edge(l.word(1)) != nil {
		return "", fmt.Errorf("%s is an edge: only origins can be revived", l.word(1))
	}
	k, err := w.link(l.word(1))
	if err != nil {
		return "", err
	}
	k.mend()
	return "", nil
}

// reborn ORIGIN: its process is killed and started again, without a disk: it knows
// nothing, and each encoder begins with segment 0 there. Until it is pushed to
// nobody gets anything from it.
func (w *world) reborn(l line) (string, error) {
	for i, o := range w.origins {
		if o.name != l.word(1) {
			continue
		}
		o.link.cut()
		o.end()
		if err := w.start(o); err != nil {
			return "", err
		}
		o.link.mend()
		for _, es := range w.encoders {
			es[i].Restart()
		}
		w.settle()
		return "", nil
	}
	return "", fmt.Errorf("no origin %q", l.word(1))
}

// leave NODE: the edge leaves the cluster in good order and finishes what it is
// doing.
func (w *world) leave(l line) (string, error) {
	e := w.edge(l.word(1))
	if e == nil {
		return "", fmt.Errorf("no edge %q", l.word(1))
	}
	if err := e.cluster.Leave(5 * time.Second); err != nil {
		return "", err
	}
	w.settle()
	return w.answers(), nil
}

// members: how many live edges each edge sees.
func (w *world) members(line) (string, error) {
	var out []string
	for _, e := range w.edges {
		if !e.dead {
			out = append(out, fmt.Sprintf("%s sees %d", e.name, e.cluster.Alive()))
		}
	}
	return strings.Join(out, ", "), nil
}

// owner get CHANNEL[/RENDITION [segment last]]: which edge owns it. The word
// "owner" then stands for that edge.
func (w *world) owner(l line) (string, error) {
	l.words = append([]string{"viewers", "1", "get"}, l.words[1:]...)
	path, err := w.target(l)
	if err != nil {
		return "", err
	}
	for _, e := range w.edges {
		if _, self := e.cluster.Owner(path); self && !e.dead {
			w.owns = e.name
			return e.name + " owns it", nil
		}
	}
	return "", errors.New("nobody owns it")
}

// report: how many requests went to each origin since the last report.
func (w *world) report(line) (string, error) {
	var out []string
	for _, o := range w.origins {
		out = append(out, fmt.Sprintf("%s requests %d", o.name, o.since()))
	}
	return strings.Join(out, ", "), nil
}

// audience [brief]: how the players do, and which origins were asked at all since the
// last report or audience. Players whose clocks coincide with a playlist's
// expiry may or may not cause a request more: a count would not be the same
// in every run. Brief leaves out which rules of HLS were broken, where that is
// what origins that disagree come to.
func (w *world) audience(l line) (string, error) {
	var out []string
	for _, o := range w.origins {
		if o.since() > 0 {
			out = append(out, o.name)
		}
	}
	r := w.stats.Report()
	if l.word(1) == "brief" {
		return fmt.Sprintf("players %d of %d: failures %d; asked: %s", r.Playing, w.swarm, total(r.Failures), strings.Join(out, " ")), nil
	}
	return fmt.Sprintf("players %d of %d: stalls %d, moves %d, failures %d, broken %v; asked: %s",
		r.Playing, w.swarm, r.Stalls, r.Moves, total(r.Failures), r.Broken, strings.Join(out, " ")), nil
}

// since returns how often the origin was asked since the last call.
func (o *originNode) since() int64 {
	n := o.link.requests.Load()
	defer func() { o.reported = n }()
	return n - o.reported
}

func total(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}
