package wire

import (
	"strings"
	"sync"

	"weir/internal/web"
)

// maxInterim is how many interim answers one exchange may have.
const maxInterim = 16

// isInterim reports whether a status is one that is passed on: any 1xx but
// those of one connection, 100 and 101 (RFC 9110 section 15.2).
func isInterim(status int) bool { return status > 101 && status < 200 }

// An interim passes interim answers to the client while its handler works. Who
// hands them in never waits for the client: a goroutine writes them, which ends
// with the last of them.
type interim struct {
	write func(status int, h *web.Header) error // called by one goroutine at a time

	mu      sync.Mutex // guards what follows
	queue   []interimAnswer
	left    int  // how many more there may be
	writing bool // the goroutine runs
	over    bool // the answer itself is on its way
	written sync.WaitGroup
}

type interimAnswer struct {
	status int
	h      web.Header
}

func newInterim(write func(status int, h *web.Header) error) *interim {
	return &interim{write: write, left: maxInterim}
}

// inform is what the handler calls: web.Request.Inform.
func (i *interim) inform(status int, h *web.Header) {
	if !isInterim(status) {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over || i.left == 0 {
		return
	}
	i.left--
	i.queue = append(i.queue, interimAnswer{status, h.Clone()})
	if !i.writing {
		i.writing = true
		i.written.Go(i.run)
	}
}

func (i *interim) run() {
	for {
		i.mu.Lock()
		if len(i.queue) == 0 {
			i.writing = false
			i.mu.Unlock()
			return
		}
		next := i.queue[0]
		i.queue = i.queue[1:]
		i.mu.Unlock()
		if i.write(next.status, &next.h) != nil {
			i.mu.Lock()
			i.over, i.queue, i.writing = true, nil, false
			i.mu.Unlock()
			return
		}
	}
}

// end is called when the handler has returned. What came before is out then,
// and what comes later goes nowhere.
func (i *interim) end() {
	if i == nil {
		return
	}
	i.mu.Lock()
	i.over = true
	i.mu.Unlock()
	i.written.Wait()
}

// interimFields calls add for each field of an interim answer that goes on the wire.
func interimFields(h *web.Header, add func(name, value string)) {
	connection := h.Joined("Connection")
	for f := range h.All() {
		if !hopByHop(f.Name) && !strings.EqualFold(f.Name, "Content-Length") && sendable(f) && !(connection != "" && listed(connection, f.Name)) {
			add(f.Name, f.Value)
		}
	}
}
