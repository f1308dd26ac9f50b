package wire

import (
	"sync"
	"time"
)

// A streamPace holds the client of one stream of HTTP/2 to the minimum rate, as a pace does
// for a connection: a stream stands still, too, where its client opens no window for it.
type streamPace struct {
	rate     int64
	stall    time.Duration
	patience time.Duration
}

func newStreamPace(rate int64, stall time.Duration) streamPace {
	return streamPace{rate: rate, stall: stall, patience: stall}
}

// streamPiece is how much of a body goes to net/http at once.
const streamPiece = 32 << 10

func (p *streamPace) worth(n int) time.Duration {
	return time.Duration(float64(n) / float64(p.rate) * float64(time.Second))
}

// do makes one attempt to send n bytes, which reset ends when patience does. A deadline of
// net/http would go on where nothing is sent, as while an encoder pauses.
func (p *streamPace) do(n int, reset func(), attempt func() error) error {
	start := time.Now()
	ended := make(chan struct{})
	timer := time.AfterFunc(p.patience+p.worth(n), func() { reset(); close(ended) })
	err := attempt()
	if !timer.Stop() {
		<-ended // the stream is not to be touched any more when its handler returns
	}
	took := time.Since(start)
	if p.patience = min(p.stall, p.patience+p.worth(n)-took); p.patience <= 0 {
		return ErrTooSlow
	}
	return err
}

// pieces are buffers of streamPiece bytes. net/http may still read from what it was given
// when a write to a stream that was reset returns, and memory of a body may be used again
// as soon as that is closed: so what it is given is a copy, and after an error a lost one.
var pieces = sync.Pool{New: func() any { return new([streamPiece]byte) }}

// reset ends a write that is under way, and the stream with it.
func (s *netSink) reset() { _ = s.rc.SetWriteDeadline(time.Unix(1, 0)) }

// sendStream writes p to a stream of HTTP/2.
func (s *netSink) sendStream(p []byte) error {
	for len(p) > 0 {
		buf := pieces.Get().(*[streamPiece]byte)
		n := copy(buf[:], p)
		err := s.stream.do(n, s.reset, func() error { _, err := s.w.Write(buf[:n]); return err })
		if err != nil {
			return err
		}
		pieces.Put(buf)
		p = p[n:]
	}
	return nil
}
