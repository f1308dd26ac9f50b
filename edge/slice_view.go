package edge

import "weir/internal/web"

// A viewedSlice is one that is followed by View and Watch. It is held until the
// body is closed, since what View returned must stay good for so long.
type viewedSlice struct {
	*askedSlice
	bytes web.Body // nil: its head is not there yet, or never will be
}

func (v *viewedSlice) drop() {
	if v.bytes != nil {
		v.bytes.Close()
	}
	v.askedSlice.drop()
}

// at returns the slice that offset off of the body is in, its bytes if they can
// be had, and the offset in them. The caller holds b.mu.
func (b *slicedBody) at(off int64) (*viewedSlice, int64) {
	p := b.of.part(b.off+off, b.e.opts.Slice)
	v := b.views[p.first]
	if v != nil && v.bytes == nil {
		select {
		case <-v.ready:
			if v.err == nil {
				v.bytes = v.body()
			}
		default:
		}
	}
	return v, b.off + off - p.first
}

// View implements [web.Body].
func (b *slicedBody) View(off int64) ([]byte, web.State) {
	if off >= b.n {
		return nil, web.Complete
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v, in := b.at(off)
	switch {
	case v == nil:
		return nil, web.Open
	case v.bytes != nil:
		p, st := v.bytes.View(in)
		if len(p) == 0 {
			if st == web.Complete {
				st = web.Aborted // shorter than a slice is
			}
			return nil, st
		}
		return p[:min(int64(len(p)), b.n-off)], web.Open
	}
	select {
	case <-v.ready:
		return nil, web.Aborted
	default:
		return nil, web.Open
	}
}

// Watch implements [web.Body].
func (b *slicedBody) Watch(off int64, wake func()) (stop func()) {
	if off >= b.n {
		wake()
		return func() {}
	}
	b.mu.Lock()
	v, in := b.at(off)
	if v == nil {
		v = &viewedSlice{askedSlice: b.ask(b.off + off)}
		if b.views == nil {
			b.views = map[int64]*viewedSlice{}
		}
		b.views[v.part.first] = v
		v, in = b.at(off)
	}
	bytes := v.bytes
	b.mu.Unlock()
	if bytes != nil {
		return bytes.Watch(in, wake)
	}
	left := make(chan struct{})
	go func() {
		select {
		case <-v.ready: // the watcher looks, and watches again if there is no byte yet
			wake()
		case <-left:
		}
	}()
	return func() {
		select {
		case <-left:
		default:
			close(left)
		}
	}
}

// Err returns why the body was aborted, if it was.
func (b *slicedBody) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.views {
		select {
		case <-v.ready:
			if v.err != nil {
				return v.err
			}
		default:
		}
	}
	return nil
}
