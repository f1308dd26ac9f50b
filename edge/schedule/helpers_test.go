package schedule

import (
	"fmt"
	"hash/maphash"
	"strings"
	"testing"
	"time"
)

var (
	start = time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
	seed  = maphash.MakeSeed()
)

// window is a live playlist of n two-second segments seg{first}.ts and on.
func window(first, n int, more ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n", first)
	for i := range n {
		fmt.Fprintf(&b, "#EXTINF:2.000,\nseg%d.ts\n", first+i)
	}
	return b.String() + strings.Join(more, "\n")
}

// under makes keys as an edge does: relative URIs alone.
func under(dir string) func(string) string {
	return func(uri string) string {
		if strings.Contains(uri, ":") || strings.HasPrefix(uri, "//") {
			return ""
		}
		return dir + uri
	}
}

// tell has the book observe a version of /v/index.m3u8 some seconds after start.
func tell(t testing.TB, b *Book, seconds float64, text string, change ...func(*Version)) Report {
	t.Helper()
	l, err := Scan([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	v := Version{ID: "/v/index.m3u8", Listing: l, Now: at(seconds), Key: under("/v/"), Copy: text, CopyBytes: int64(len(text)),
		Digest: maphash.String(seed, text)}
	for _, f := range change {
		f(&v)
	}
	rep := b.Observe(v)
	consistent(t, b)
	return rep
}

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func as(id string) func(*Version) { return func(v *Version) { v.ID = id } }

func published(name string) func(*Version) { return func(v *Version) { v.Publishing = name } }

// consistent recounts everything.
func consistent(t testing.TB, b *Book) {
	t.Helper()
	refs, bytes := map[*object]int{}, int64(0)
	count := func(o *object) {
		if o != nil {
			refs[o]++
		}
	}
	for id, r := range b.renditions {
		bytes += r.cost
		want := copyCost + int64(len(id)) + r.heldBytes
		for i := range r.entries {
			e := &r.entries[i]
			want += entryCost + int64(len(e.uri))
			count(e.obj)
			count(e.section)
			count(e.secret)
		}
		for _, o := range r.parts {
			count(o)
		}
		if r.cost != want {
			t.Fatalf("%s is charged %d, want %d", id, r.cost, want)
		}
	}
	for key, o := range b.objects {
		bytes += objectCost + int64(len(key))
		if refs[o] != o.refs || o.refs < 0 || (o.refs == 0) != (o.at >= 0) {
			t.Fatalf("%s has %d mentions, counted %d, its place among those that leave is %d", key, o.refs, refs[o], o.at)
		}
		delete(refs, o)
	}
	if len(refs) > 0 {
		t.Fatalf("%d objects are listed that are in no index", len(refs))
	}
	if bytes != b.bytes || b.bytes > b.opts.Bytes || len(b.renditions) > b.opts.Renditions || len(b.renditions) != b.recent.Len() {
		t.Fatalf("%d bytes counted, %d charged, of %d; %d renditions of %d, %d in order", bytes, b.bytes, b.opts.Bytes, len(b.renditions), b.opts.Renditions, b.recent.Len())
	}
	for a, r := range b.patterns {
		if b.renditions[r.id] != r || r.pattern.affix != a {
			t.Fatalf("the pattern %v belongs to nobody", a)
		}
	}
}

func keys(first, n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("/v/seg%d.ts", first+i))
	}
	return strings.Join(all, " ")
}

func expect(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
