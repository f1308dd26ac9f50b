package origin

// deletion is what a DELETE did; it is a metric label.
type deletion string

const (
	deletedAtOnce deletion = "dropped" // nobody needed it
	deletedLater  deletion = "kept"    // it is published, or listed and waits for that
	deletedNot    deletion = "unknown" // nothing was there
)

// delete answers a DELETE: always well, since "media no longer referenced" by the encoder
// (DASH-IF Ingest 1.2, interface 2) may never have come here.
func (o *Origin) delete(t target) {
	was := deletedNot
	if c := o.channel(t.channel); c != nil {
		was = c.deleted(t.path)
	}
	o.metrics.deletes.WithLabelValues(string(was)).Inc()
}

// deleted takes a pushed file out of the encoder's sight: it cannot be read back any more.
// What nobody needs goes at once. What is published stays for viewers until its retention is
// over (HLSbis 6.2.2), and what is listed is published all the same: FFmpeg's delete_segments
// sends DELETE over a connection of its own, which overtakes its playlists. An encoder's init
// segment stays with its rendition. The DELETE of a playlist ends nothing.
func (c *channel) deleted(path string) deletion {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.texts.byPath[path] != nil {
		c.chargeTexts(func() { c.texts.remove(path) })
		return deletedAtOnce
	}
	u := c.store.complete(path)
	switch {
	case u == nil || u.deleted:
		return deletedNot
	case u.holders > 1, c.inUse(u):
		u.deleted = true
		return deletedLater
	}
	delete(c.store.byPath, path)
	c.drop(u)
	return deletedAtOnce
}
