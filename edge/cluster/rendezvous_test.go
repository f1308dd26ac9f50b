package cluster

import (
	"fmt"
	"math"
	"testing"
)

func nodes(n int, weight func(i int) int) []*member {
	ms := make([]*member, n)
	for i := range ms {
		name := fmt.Sprintf("edge-%d", i)
		ms[i] = &member{name: name, point: pointOf(name), meta: meta{weight: weight(i)}}
	}
	return ms
}

func same(int) int { return 10 }

func never(*member) bool { return false }

func ownerOf(key string, ms []*member) *member {
	var top [1]*member
	rank(top[:], pointOf(key), ms, never)
	return top[0]
}

func keys(n int) []string {
	ks := make([]string, n)
	for i := range ks {
		ks[i] = fmt.Sprintf("/live/channel-%d/v%d/seg-%d.m4s", i%37, i%5, i)
	}
	return ks
}

// No edge is asked for much more than its share, so that none gives out before
// the others do.
func TestKeysAreSpreadByWeight(t *testing.T) {
	f := func(n int, weight func(int) int) {
		t.Helper()
		ms, total := nodes(n, weight), 0
		for _, m := range ms {
			total += m.weight
		}
		const count = 40_000
		got := map[*member]int{}
		for _, k := range keys(count) {
			got[ownerOf(k, ms)]++
		}
		for _, m := range ms {
			share := float64(m.weight) / float64(total)
			sigma := math.Sqrt(count * share * (1 - share))
			if diff := math.Abs(float64(got[m]) - count*share); diff > 5*sigma {
				t.Errorf("%d nodes: %s with weight %d of %d owns %d of %d: %.1f sigma off", n, m.name, m.weight, total, got[m], count, diff/sigma)
			}
		}
	}
	f(2, same)
	f(12, same)
	f(30, same)
	f(5, func(i int) int { return 1 + 10*i })
	f(3, func(i int) int { return []int{1, 1000, 500}[i] })
}

// When an edge dies only its own keys move, and when one comes keys move to it
// only: nothing that other edges hold goes cold.
func TestKeysMoveNoMoreThanTheyMust(t *testing.T) {
	ms := nodes(12, func(i int) int { return 5 + i })
	moved := 0
	for _, k := range keys(5000) {
		before := ownerOf(k, ms)
		after := ownerOf(k, ms[1:])
		if before == ms[0] {
			moved++
			var top [2]*member
			if rank(top[:], pointOf(k), ms, never); after != top[1] {
				t.Fatalf("%s goes from %s to %s, not to its second owner %s", k, before.name, after.name, top[1].name)
			}
		} else if after != before {
			t.Fatalf("%s moved from %s to %s although %s went", k, before.name, after.name, ms[0].name)
		}
	}
	if moved == 0 {
		t.Error("the node that went owned nothing")
	}
	// More weight draws keys to the node that has it, and moves none between others.
	heavy := nodes(12, func(i int) int { return 5 + i })
	heavy[3].weight *= 3
	for _, k := range keys(5000) {
		if a, b := ownerOf(k, ms), ownerOf(k, heavy); a.name != b.name && b.name != heavy[3].name {
			t.Fatalf("%s moved from %s to %s", k, a.name, b.name)
		}
	}
}

// Two edges that see the same members agree about every owner, whatever the
// order in which they heard of them.
func TestRankDoesNotDependOnOrder(t *testing.T) {
	ms := nodes(9, func(i int) int { return 1 + i%3 })
	back := make([]*member, len(ms))
	for i := range ms {
		back[len(ms)-1-i] = ms[i]
	}
	for _, k := range keys(500) {
		var a, b [maxOwners]*member
		na, nb := rank(a[:], pointOf(k), ms, never), rank(b[:], pointOf(k), back, never)
		if na != maxOwners || nb != na || a != b {
			t.Fatalf("%s: %v and %v", k, a, b)
		}
		seen := map[*member]bool{}
		for i, m := range a {
			if seen[m] {
				t.Fatalf("%s: %s twice", k, m.name)
			}
			seen[m] = true
			if i > 0 && score(pointOf(k), a[i-1].point, float64(a[i-1].weight)) < score(pointOf(k), m.point, float64(m.weight)) {
				t.Fatalf("%s: out of order", k)
			}
		}
	}
}

// Asked for more than there are, or for none, rank gives what there is.
func TestRankOfFew(t *testing.T) {
	ms := nodes(2, same)
	var top [4]*member
	if n := rank(top[:], 1, ms, never); n != 2 || top[0] == top[1] {
		t.Errorf("%d of 2: %v", n, top)
	}
	if n := rank(top[:], 1, ms, func(m *member) bool { return m == ms[0] }); n != 1 || top[0] != ms[1] {
		t.Errorf("%d of 1", n)
	}
	if n := rank(top[:0], 1, ms, never); n != 0 {
		t.Errorf("%d of none wanted", n)
	}
	if n := rank(top[:], 1, nil, never); n != 0 {
		t.Errorf("%d of nobody", n)
	}
	var many [20]*member
	if n := rank(many[:], 1, nodes(30, same), never); n != maxOwners {
		t.Errorf("%d of 30, want %d", n, maxOwners)
	}
}

// The owner is a function of names and weights that must stay what it is: in
// a rolling upgrade old and new edges have to agree.
func TestRankIsFixed(t *testing.T) {
	ms := nodes(5, func(i int) int { return 10 * (i + 1) })
	got := ""
	for _, k := range keys(12) {
		got += ownerOf(k, ms).name[len("edge-"):]
	}
	if want := "102344333132"; got != want {
		t.Errorf("owners %s, want %s", got, want)
	}
}

func BenchmarkRank30(b *testing.B) {
	ms := nodes(30, same)
	b.ReportAllocs()
	for b.Loop() {
		var top [2]*member
		rank(top[:], pointOf("/live/news/hd/seg-1234567.m4s"), ms, never)
	}
}
