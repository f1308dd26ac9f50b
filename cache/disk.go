package cache

import (
	"context"
	"fmt"
	"hash/crc32"
	"time"

	"weir/cache/shelf"
	"weir/internal/disk"
	"weir/internal/web"
)

// Disk is the tier below memory: what has to leave memory and was wanted twice
// goes there, and comes back from there when it is wanted again, also after a
// restart. A disk that fails costs depth, nothing else.
type Disk struct {
	Dir string // nothing else may be in it
	Max int64  // bytes, at least 4 MiB
	// KeepFree is how many bytes are to stay free on the file system.
	KeepFree int64
	FS       disk.FS // default [disk.Private]
}

// openDisk opens the tier, if there is to be one.
func (c *Cache) openDisk() error {
	d := c.opts.Disk
	if d == nil {
		return nil
	}
	if d.FS == nil {
		d.FS = disk.Private()
	}
	s, err := shelf.New(shelf.Options{FS: d.FS, Dir: d.Dir, Max: d.Max, KeepFree: d.KeepFree,
		QueueBytes: min(c.opts.Bytes/16, 64<<20), Patience: time.Second, Registerer: c.opts.Registerer, Log: c.log,
		Room: func(n int64) bool {
			if n < 0 {
				c.budget.give(-n)
				return true
			}
			return c.reserveFor(other, n)
		}})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	c.shelf = s
	return nil
}

// minDiskTTL is for how long an object must still be fresh to be worth a write.
const minDiskTTL = 30 * time.Second

// toDisk offers k, which leaves memory, to the disk. The caller holds the lock of
// k's shard: a removal either finds k in the index or what is queued here.
func (c *Cache) toDisk(k *kept, vary []string) {
	o := &k.stored
	if c.shelf == nil || k.purged || o.noCache || o.body.State() != web.Complete || o.TTL(time.Now()) < minDiskTTL {
		return
	}
	at := o.body.at
	o.body.ref()
	t := leaving{k, vary}
	if !c.shelf.Put(shelf.Item{
		Key: k.key(), Sub: subOf(vary, k.variant), Stamp: stampOf(o.head), Len: o.body.Len(),
		Wanted: k.touched.Load() != 0 || at != (shelf.Place{}), At: at, Thing: t,
	}) {
		t.Close()
	}
}

// leaving is an object on its way to the disk. It is a [shelf.Thing].
type leaving struct {
	k    *kept
	vary []string
}

func (l leaving) Meta() []byte {
	return appendMeta(nil, l.k.stored.head, l.k.group, l.vary, l.k.variant)
}

func (l leaving) View(off int64) []byte {
	p, _ := l.k.stored.body.View(off)
	return p
}

// Close gives the body back. It is also called under the lock of a shard.
func (l leaving) Close() { l.k.stored.body.drop() }

// subOf tells the variants of one key apart.
func subOf(vary []string, variant string) uint32 {
	if len(vary) == 0 {
		return 0
	}
	h := crc32.NewIEEE()
	for _, name := range vary {
		_, _ = h.Write([]byte(name + "\x00"))
	}
	_, _ = h.Write([]byte(variant))
	return h.Sum32()
}

// stampOf tells the versions of one answer apart.
func stampOf(h *head) uint32 { return uint32(h.born.UnixMilli()) }

// superseded takes out of the disk's index what k, just published, takes the
// place of. Was is the head that it renews, if it renews one: the disk may keep
// that if it allows no more than the new one.
// The caller holds the lock of k's shard.
func (c *Cache) superseded(s *shard, k *kept, was *head) {
	switch {
	case c.shelf == nil:
	case k.stored.body.at != (shelf.Place{}) && (was == nil || !k.stored.stricter(was)): // it is what lies there
	case len(s.varyOf(k.key())) == 0:
		c.shelf.Forget(k.key()) // one answer for all
	default:
		c.shelf.Forget(k.key(), subOf(s.varyOf(k.key()), k.variant), 0) // 0: from before it depended on anything
	}
}

// stricter reports whether h allows in any way less than another head for the
// same body.
func (h *head) stricter(than *head) bool {
	end := func(h *head, more time.Duration) time.Time { return h.born.Add(h.lifetime + more) }
	return h.noCache && !than.noCache || h.mustRevalidate && !than.mustRevalidate ||
		end(h, 0).Before(end(than, 0)) ||
		end(h, h.whileRevalidate).Before(end(than, than.whileRevalidate)) ||
		end(h, h.ifError).Before(end(than, than.ifError))
}

// reject is discard for what upstream says is no more: the disk must not bring
// it back.
func (c *Cache) reject(k *kept) {
	if c.shelf != nil {
		s := c.shard(c.hash(k.key()))
		s.mu.Lock()
		k.purged = true
		c.shelf.Remove(k.key())
		s.mu.Unlock()
	}
	c.discard(k)
}

const (
	flushTime = time.Second     // for what is in memory to be written at the end
	quitTime  = 2 * time.Second // for the disk to answer after that
)

// flushing returns whether what is given up at the end may still go to the
// disk: while there is time.
func (c *Cache) flushing() func(*kept) bool {
	if c.shelf == nil {
		return func(*kept) bool { return false }
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	context.AfterFunc(ctx, cancel)
	return func(k *kept) bool { return c.shelf.Await(ctx, k.stored.body.Len()) }
}

// closeDisk writes what is queued and lets go of the directory.
func (c *Cache) closeDisk() {
	if c.shelf == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), quitTime)
	defer cancel()
	if err := c.shelf.Close(ctx); err != nil {
		c.log.Warn("close the disk tier of the cache", "error", err)
	}
}
