package wire

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// announced bounds the memory of bodies that clients have announced by a Content-Length and
// not sent yet: fasthttp makes room for all of one as soon as it has read the header, and a
// header is a hundred bytes. Bodies of smallBodies bytes and less, and those in chunks, for
// which room is made as they come, are not counted.
type announced struct {
	most   int64         // bytes
	each   int64         // bytes of one, at most
	within time.Duration // after which a body has come, or its connection is over

	some atomic.Int32 // how many wait: a viewer who sends nothing takes no lock

	mu      sync.Mutex
	bytes   int64                                    // guarded by mu
	waiting map[*fasthttp.RequestHeader]announcement // guarded by mu
}

type announcement struct {
	bytes int64 // 0: there was no room
	since time.Time
}

// maxAnnounced is the least that may be announced at once on a listener.
const maxAnnounced = 256 << 20

// header is fasthttp.Server.HeaderReceived.
func (a *announced) header(h *fasthttp.RequestHeader) (c fasthttp.RequestConfig) {
	n := int64(h.ContentLength())
	if n <= defaultSmallBody || n > a.each { // one that is too large is refused unread
		return c
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(h)
	if a.bytes+n > a.most {
		for other, one := range a.waiting { // connections that went without a word
			if now.Sub(one.since) > a.within {
				a.forget(other)
			}
		}
	}
	if a.bytes+n > a.most {
		c.MaxRequestBodySize = defaultSmallBody
		n = 0
	}
	if a.waiting == nil {
		a.waiting = make(map[*fasthttp.RequestHeader]announcement)
	}
	a.waiting[h] = announcement{n, now}
	a.some.Store(int32(len(a.waiting)))
	a.bytes += n
	return c
}

// over is called when the body of a request has come, or will not. It reports
// whether there was no room for it.
func (a *announced) over(h *fasthttp.RequestHeader) (noRoom bool) {
	if a.some.Load() == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	one, ok := a.waiting[h]
	a.forget(h)
	return ok && one.bytes == 0
}

func (a *announced) forget(h *fasthttp.RequestHeader) {
	if one, ok := a.waiting[h]; ok {
		a.bytes -= one.bytes
		delete(a.waiting, h)
		a.some.Store(int32(len(a.waiting)))
	}
}
