package origin

import (
	"net/http"

	"weir/playlist"
)

// A channel's budget is Channel.Memory. It is charged with what arrives as it arrives, with
// what complete uploads and media cost until their last hold goes, and with the playlists
// that are kept for reading back.

// spent reports whether n more bytes, where that is known, go beyond the budget.
func (c *channel) spent(n int64) bool {
	most := c.config.Memory
	return most > 0 && c.held.Load()+max(0, n) > most
}

// tight reports whether little of the budget is left: what is kept beyond its Availability
// Duration goes first.
func (c *channel) tight() bool {
	most := c.config.Memory
	return most > 0 && c.held.Load() > most/10*9
}

// overBudget: "507 (Insufficient Storage)" (RFC 4918 11.5).
func (c *channel) overBudget(t target) error {
	return refuse(http.StatusInsufficientStorage, reasonBudget, "channel %s: %s: the channel's memory is spent, %d bytes of %d (memory of channels.%s or channels.defaults; a shorter window and retention need less)",
		t.channel, t.path, c.held.Load(), c.config.Memory, t.channel)
}

// maxPending is how many bytes may wait for a playlist that lists them.
func (c *channel) maxPending() int64 {
	if most := c.config.Memory; most > 0 {
		return min(most, c.o.opts.Memory) / 4
	}
	return c.o.opts.Memory / 4
}

// texts are the pushed playlists that an encoder may read back. They are few and bounded in
// all, so that the memory of 64 renditions cannot be taken by their texts.
type texts struct {
	byPath map[string][]byte
	bytes  int64
}

const maxTextBytes = 8 * playlist.MaxBytes

func newTexts() texts { return texts{byPath: map[string][]byte{}} }

// put remembers a text, or forgets the one of that path where there is no room: then an
// encoder that reads it back begins anew, which is better than going on from an old one.
func (t *texts) put(path string, text []byte) {
	t.remove(path)
	if n := int64(cap(text)); len(t.byPath) < maxTexts && t.bytes+n <= maxTextBytes {
		t.byPath[path] = text
		t.bytes += n
	}
}

func (t *texts) remove(path string) {
	t.bytes -= int64(cap(t.byPath[path]))
	delete(t.byPath, path)
}

// remember keeps a pushed playlist for reading back. Callers hold c.mu.
func (c *channel) remember(path string, text []byte) {
	c.chargeTexts(func() { c.texts.put(path, text) })
}

// forgetTexts is for the channel's end. Callers hold c.mu.
func (c *channel) forgetTexts() { c.chargeTexts(func() { c.texts = newTexts() }) }

// chargeTexts charges channel and origin with what change makes of the texts.
func (c *channel) chargeTexts(change func()) {
	before := c.texts.bytes
	change()
	c.held.Add(c.texts.bytes - before)
	c.o.texts.Add(c.texts.bytes - before)
}
