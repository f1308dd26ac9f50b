package wire

import (
	"errors"
	"net"
	"os"
	"slices"
	"time"
)

// A pace writes to one connection and holds its client to a minimum rate. It
// has patience for a while: waiting spends it, bytes that the client took earn
// it back at the minimum rate, and when it is used up the client is too slow.
// However long an answer is, a client above the rate is never cut, and one that
// takes nothing is cut after stall.
type pace struct {
	conn     net.Conn
	rate     int64         // bytes/s
	stall    time.Duration // the most patience there is
	patience time.Duration
	unspent  time.Duration // waiting not yet taken off patience
	sent     int64         // bytes given to the kernel
	taken    int64         // of these, as far as known, out of its queue
}

func newPace(conn net.Conn, rate int64, stall time.Duration) pace {
	return pace{conn: conn, rate: rate, stall: stall, patience: stall}
}

// begin sets the rate for the next answer of the connection: what the client
// was slow at before is none of that one's.
func (p *pace) begin(rate int64) { p.rate, p.patience, p.unspent = rate, p.stall, 0 }

// tick is how often a write that blocks looks at what the client took.
func (p *pace) tick() time.Duration { return min(p.stall/4, time.Second) }

// write sends all of b, or returns [ErrTooSlow] or the connection's error.
func (p *pace) write(b []byte) (int, error) {
	total := 0
	for {
		n, again, err := p.step(func() (int64, error) { n, err := p.conn.Write(b); return int64(n), err })
		total += int(n)
		b = b[n:]
		if !again || len(b) == 0 {
			return total, err
		}
	}
}

// writev is write for several pieces in one call of the kernel.
func (p *pace) writev(v *net.Buffers) error {
	if lineOf(p.conn) != nil { // a record, and a call of the kernel, for each piece otherwise
		_, err := p.write(slices.Concat(*v...))
		return err
	}
	for {
		_, again, err := p.step(func() (int64, error) { return v.WriteTo(p.conn) })
		if !again || len(*v) == 0 {
			return err
		}
	}
}

// step makes one attempt under a deadline of one tick. It returns how much was
// written, and whether to go on with the rest.
func (p *pace) step(attempt func() (int64, error)) (n int64, again bool, err error) {
	if lineOf(p.conn) != nil { // it is paced beneath
		n, err = attempt()
		return n, false, err
	}
	start := time.Now()
	if err := p.conn.SetWriteDeadline(start.Add(p.tick())); err != nil {
		return 0, false, err
	}
	n, err = attempt()
	p.sent += n
	timeout := err != nil && errors.Is(err, os.ErrDeadlineExceeded)
	if err != nil && !timeout {
		return n, false, err
	}
	p.unspent += time.Since(start)
	if p.unspent >= p.tick()/8 && p.settle() {
		return n, false, ErrTooSlow
	}
	return n, timeout, nil
}

// settle takes the time waited off the patience, adds what the client earned,
// and reports whether the patience is used up.
func (p *pace) settle() bool {
	taken := max(p.taken, p.sent-queued(p.conn))
	earned := time.Duration(float64(taken-p.taken) / float64(p.rate) * float64(time.Second))
	p.patience = min(p.patience-p.unspent+earned, p.stall)
	p.unspent, p.taken = 0, taken
	return p.patience <= 0
}

// done leaves a deadline for the few bytes that somebody else may still flush.
func (p *pace) done() { _ = p.conn.SetWriteDeadline(time.Now().Add(p.stall)) }
