package origin

import (
	"errors"
	"log/slog"
	"syscall"
	"time"
)

// A StoreState is how well the disk does.
type StoreState uint8

// The states of a store, from good to bad. In none of them is the live edge affected.
const (
	StoreOff     StoreState = iota // there is none: memory only
	StoreOK                        // what is published is durable within moments
	StoreSlow                      // it is behind by more than 10 s
	StoreFull                      // there is no room: what is published now has no depth
	StoreFailing                   // it returns errors
	storeStates
)

func (s StoreState) String() string {
	return [storeStates]string{"off", "ok", "slow", "full", "failing"}[s]
}

// storeHealth is what a vault knows of its disk.
type storeHealth struct {
	state StoreState
	since time.Time
	err   error
}

// note takes in how the last batch ended.
func (h *storeHealth) note(err error) {
	state := StoreOK
	switch {
	case err == nil:
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		state = StoreFull
	default:
		state = StoreFailing
	}
	if state != h.state {
		h.since = time.Now()
	}
	h.state, h.err = state, err
}

// tell logs a change of state, once.
func (h *storeHealth) tell(was storeHealth, log *slog.Logger) {
	switch {
	case h.state == was.state:
	case h.state == StoreOK && was.state > StoreOK:
		log.Info("the disk takes what is published again", "after", time.Since(was.since).Round(time.Second))
	case h.state == StoreFull:
		log.Error("the disk is full: live goes on, what is published now is lost to DVR and restarts; make room, or lower store.max or channels.*.dvr", "error", h.err)
	case h.state == StoreFailing:
		log.Error("the disk fails: live goes on, what is published now is lost to DVR and restarts; writing is tried again", "error", h.err, "every", retryEvery)
	}
}

// StoreStatus is how the disk does, over all channels.
type StoreStatus struct {
	State  StoreState
	Since  time.Time     // when that began
	Behind time.Duration // how long the oldest segment has waited to be durable
	Queue  int64         // bytes that wait
	Bytes  int64         // on disk
	Free   int64         // bytes the file system has left; -1: unknown
	Err    error         // the last failure, nil where all is well
	Worst  string        // the channel that is worst off
}

// StoreStatus returns how the disk does now.
func (o *Origin) StoreStatus() StoreStatus {
	if o.depot == nil {
		return StoreStatus{State: StoreOff, Free: -1}
	}
	s := StoreStatus{State: StoreOK, Free: o.depot.free.Load(), Bytes: o.depot.bytes.Load()}
	for name, c := range *o.channels.Load() {
		if c.vault == nil {
			continue
		}
		h, behind, queue := c.vault.status()
		s.Queue += queue
		s.Behind = max(s.Behind, behind)
		if h.state > s.State || h.state == s.State && h.state > StoreOK && h.since.Before(s.Since) {
			s.State, s.Since, s.Err, s.Worst = h.state, h.since, h.err, name
		}
	}
	if err := o.depot.failure(); err != nil && s.State < StoreFailing {
		s.State, s.Err = StoreFailing, err
	}
	return s
}

// status returns what a vault is up to. One that has been at the same batch for long is slow.
func (v *vault) status() (h storeHealth, behind time.Duration, queue int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	h = v.health
	if !v.since.IsZero() {
		behind = time.Since(v.since)
	}
	if h.state <= StoreOK && behind > slowAfter {
		h.state, h.since = StoreSlow, v.since.Add(slowAfter)
	}
	return h, behind, v.waiting
}
