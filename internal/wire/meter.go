package wire

import "sync/atomic"

// A Meter measures what listeners do at this moment. Several may share one, and
// a listener that takes another's place goes on with its Meter.
type Meter struct {
	busy atomic.Int64
	sent atomic.Int64
}

// InFlight returns how many exchanges are under way.
func (m *Meter) InFlight() int64 { return m.busy.Load() }

// Sent returns how many bytes of bodies were ever handed to the network. Unlike
// the metric it grows while a body is sent, not at its end.
func (m *Meter) Sent() int64 { return m.sent.Load() }
