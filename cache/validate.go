package cache

import (
	"net/http"
	"slices"
	"strings"

	"weir/internal/web"
)

// maxConditions bounds how many bytes of entity tags one If-None-Match lists.
const maxConditions = 4 << 10

// Conditions returns what a [Fill] asks with that was given o as its prior: the
// values of If-None-Match and If-Modified-Since, "" for none. "A cache MUST
// send the relevant entity tags [...] if the entity tags were provided in the
// stored response(s) being validated", those of all that is kept for the key,
// and "SHOULD send the Last-Modified value" (RFC 9111 section 4.3.1).
func (o *Object) Conditions() (noneMatch, modifiedSince string) {
	if o.only == nil || o.only.tags == nil {
		return o.ETag(), o.get("Last-Modified")
	}
	return *o.only.tags, o.get("Last-Modified")
}

// prior returns what a fill may ask upstream about, nil for nothing: the stale
// answer to this question, and other variants of it that would do as well.
func (f *flight) prior() *Object {
	own := f.stale != nil && f.stale.stored.hasValidator()
	if !own && len(f.others) == 0 {
		return nil
	}
	o, tags := &Object{head: &head{form: &noForm}}, ""
	if own {
		o = &Object{head: f.stale.stored.head, body: f.stale.stored.body}
		if tags = o.ETag(); !listable(tags) {
			return o // with a tag in it If-Modified-Since would not count
		}
	}
	for _, k := range f.others {
		tag := k.stored.ETag()
		if len(tags)+len(tag) > maxConditions || web.MatchETag(tags, tag) {
			continue
		}
		if tags != "" {
			tags += ", "
		}
		tags += tag
	}
	o.only = &passing{tags: &tags}
	return o
}

// otherVariants returns what else is kept for the key and may be named in a
// question, the most recent first, with a reference on each. "W/" tags may be
// the same in all codings (RFC 9110 section 8.8.3.3): they tell nothing of
// variants. The caller holds s.mu.
func (s *shard) otherVariants(key string, than *kept) []*kept {
	e := s.entries[key]
	if e == nil || len(e.vary) == 0 {
		return nil // there is one variant at most
	}
	others := slices.DeleteFunc(e.all(), func(k *kept) bool {
		tag := k.stored.ETag()
		return k == than || strings.HasPrefix(tag, "W/") || !listable(tag) || k.stored.body.State() == web.Aborted
	})
	slices.SortFunc(others, func(a, b *kept) int { return b.stored.born.Compare(a.stored.born) })
	for _, k := range others {
		k.stored.body.ref()
	}
	return others
}

// listable reports whether a tag can stand in a list with others.
func listable(tag string) bool {
	opaque := strings.TrimPrefix(tag, "W/")
	return len(opaque) >= 2 && strings.IndexByte(opaque[1:], '"') == len(opaque)-2 && opaque[0] == '"'
}

// renewedBy returns what a 304 says is still good: the answer to this question
// first, where that is among it. None: what it says is of nothing that is kept
// (RFC 9111 section 4.3.4).
func (f *flight) renewedBy(resp *web.Response) []*kept {
	tag := resp.Get("ETag")
	if tag == "" || strings.HasPrefix(tag, "W/") {
		// "the most recent of those matching stored responses is identified":
		// only this question's own was named with a weak validator.
		if f.stale == nil || !f.stale.stored.hasValidator() || !weaklyGood(&f.stale.stored, resp, len(f.others) == 0) {
			return nil
		}
		return []*kept{f.stale}
	}
	// "each of those strong validators identifies a selected representation for
	// update. All the stored responses with one of those same strong validators
	// are identified for update".
	var all []*kept
	for _, k := range append([]*kept{f.stale}, f.others...) {
		if k != nil && k.stored.ETag() == tag && k.stored.body.State() != web.Aborted {
			all = append(all, k)
		}
	}
	return all
}

// weaklyGood reports whether a 304 without a strong validator is about prior.
// Entity tags decide before dates. One that says nothing at all is about the
// only thing it was asked about.
func weaklyGood(prior *Object, resp *web.Response, only bool) bool {
	if tag := resp.Get("ETag"); tag != "" {
		have := prior.ETag()
		return have != "" && strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(have, "W/")
	}
	if date := resp.Get("Last-Modified"); date != "" && prior.get("Last-Modified") != "" {
		return date == prior.get("Last-Modified")
	}
	return only
}

// answersToo reports whether what was kept for another variant may answer this
// question too, now that upstream said so: it is a whole answer, and in no
// coding that the request does not accept, should upstream use one tag for all.
func (f *flight) answersToo(k *kept) bool {
	coding := k.stored.Header().Joined("Content-Encoding")
	return k.stored.status == http.StatusOK && (coding == "" || strings.EqualFold(coding, "gzip") && web.AcceptsGzip(f.q.Header))
}

// refresh settles a 304: what is kept gets a new head and a new life (RFC 9111
// section 4.3.4), and keeps its body.
func (f *flight) refresh(a answer) error {
	defer a.resp.Close()
	old := &f.renewed[0].stored
	f.group = f.renewed[0].group
	also := f.renewAlso(a, slices.DeleteFunc(f.renewed, func(k *kept) bool { return k == f.stale }))
	a.resp = &web.Response{Status: old.Status(), Header: merged(old.Header(), a), Body: a.resp.Body}
	f.c.judge(f.q, &a)
	k := f.newKept(a, old.body)
	o := landing{object: k.filled, how: Revalidated, joined: Joined, vary: a.vary, renews: old.head, also: also}
	switch {
	case !a.may.Store:
		o.lead, o.object, o.pass, o.fate = o.object, nil, true, alone
		f.supersede()
	default:
		o.fate, o.shared = f.whoMayShare(a), !a.may.NoCache
		switch {
		case old.body.State() != web.Aborted && f.c.reserve(int64(k.overhead)):
			o.keep = k
		case k.stored.stricter(old.head):
			f.supersede()
		}
	}
	if !f.settle(o) {
		f.drop(o.keep)
		for _, r := range also {
			f.drop(r.by)
		}
		return errSettled
	}
	if old.body.State() == web.Aborted {
		f.takeBack(old.body) // it was cut off while its head was made new
	}
	return nil
}

// A renewal is an answer in the store that another with the same body replaces.
type renewal struct {
	old, by *kept
	vary    []string // the request fields that it depends on now
}

// renewAlso makes new heads for other variants that the 304 a is about. What
// upstream does not let be kept any more, or finds no room, stays as it is.
func (f *flight) renewAlso(a answer, others []*kept) (also []renewal) {
	for _, old := range others {
		r := a
		r.resp = &web.Response{Status: old.stored.Status(), Header: merged(old.stored.Header(), a), Body: web.Bytes(nil)}
		f.c.judge(f.q, &r)
		if by := f.c.newKept(old.key(), old.id, len(old.variant), r, old.stored.body); r.may.Store && f.c.reserve(int64(by.overhead)) {
			also = append(also, renewal{old, by, r.vary})
		}
	}
	return also
}

// renewAll publishes renewals, and returns what they displace and how many they
// were. The caller holds s.mu.
func (c *Cache) renewAll(s *shard, all []renewal) (displaced []*kept, renewed int) {
	for _, r := range all {
		was := s.varyOf(r.old.key())
		if len(union(was, r.vary)) > len(was) {
			// What its request said in a field unheard of is not known.
			displaced = append(displaced, r.old)
			c.budget.give(int64(r.by.overhead))
			if c.shelf != nil {
				c.shelf.Forget(r.old.key())
			}
			continue
		}
		if r.old.stored.body.State() == web.Aborted || !s.replace(r.old, r.by) {
			c.budget.give(int64(r.by.overhead))
			continue
		}
		r.by.stored.body.ref() // the store's
		r.by.group = r.old.group
		c.tiers.add(r.by)
		c.superseded(s, r.by, r.old.stored.head)
		displaced = append(displaced, r.old)
		renewed++
	}
	return displaced, renewed
}
