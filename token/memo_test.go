package token

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func key(i int) digest {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(i)))
}

// A million viewers with a million tokens do not fill the edge's memory.
func TestMemoIsBounded(t *testing.T) {
	const size = 1024
	m := newMemo(size)
	c := new(Claims)
	for i := range 20 * size {
		m.put(key(i), c, nil)
		m.put(key(i), c, nil)
		held := 0
		if i%997 == 0 || i == 20*size-1 {
			for j := range m.shards {
				held += len(m.shards[j].young) + len(m.shards[j].old)
			}
			if held > size || int64(held) != m.size.Load() {
				t.Fatalf("after %d: holds %d, says %d, bound %d", i, held, m.size.Load(), size)
			}
		}
	}
}

// Who keeps watching keeps being remembered, whatever crowd passes by.
func TestMemoKeepsWhatIsAskedFor(t *testing.T) {
	m := newMemo(1024)
	c := new(Claims)
	m.put(key(-1), c, nil)
	for i := range 10_000 {
		m.put(key(i), new(Claims), nil)
		if i%100 == 0 {
			if got, _, ok := m.get(key(-1)); !ok || got != c {
				t.Fatalf("forgotten after %d", i)
			}
		}
	}
	if _, _, ok := m.get(key(0)); ok {
		t.Error("the first of 10,000 passers-by is still remembered among 1,024")
	}
}

// Forgers do not push viewers out: the two are remembered apart.
func TestForgeriesDoNotCrowdOutViewers(t *testing.T) {
	priv, pub := newKey(t, "k", HS256)
	v := newVerifier(t, Options{Keys: []Key{pub}, Memo: 1024})
	raw := sign(t, priv, pass("/"))
	if _, err := v.Verify(raw); err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		forged := forge(`{"alg":"HS256","kid":"k"}`, fmt.Sprintf(`{"exp":1,"path":["/%d"]}`, i), func(string) []byte { return make([]byte, 32) })
		if _, err := v.Verify(forged); !errors.Is(err, ErrSignature) {
			t.Fatal(err)
		}
	}
	if _, err := v.Verify(raw); err != nil {
		t.Fatal(err)
	}
	if got := testutil.ToFloat64(v.metrics.hits); got != 1 {
		t.Errorf("%v hits: the viewer's verdict was forgotten", got)
	}
	if got := v.bad.size.Load(); got > 1024/16 {
		t.Errorf("%d bad verdicts remembered", got)
	}
}

// A remembered token costs a hash and a look-up and leaves no garbage, good or
// bad: this runs for every segment of every viewer.
func TestRememberedVerdictsDoNotAllocate(t *testing.T) {
	for _, alg := range []Alg{HS256, ES256, EdDSA} {
		priv, pub := newKey(t, "k1", alg)
		v := newVerifier(t, Options{Keys: []Key{pub}})
		raw := sign(t, priv, pass("/live/news/"))
		bad := raw[:len(raw)-9] + "AAAAAAAA" + raw[len(raw)-1:]
		if _, err := v.Check(raw, now, "/live/news/1"); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(200, func() {
			if _, err := v.Check(raw, now, "/live/news/hd/1.m4s"); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(bad); err == nil {
				t.Fatal("forged token accepted")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a check", alg, n)
		}
	}
}

// One edge checks many viewers at once, and keys may change meanwhile.
func TestVerifierMayBeShared(t *testing.T) {
	priv, pub := newKey(t, "k1", EdDSA)
	var src Source
	src.Store(newVerifier(t, Options{Keys: []Key{pub}, Memo: 64}))
	raws := make([]string, 16)
	for i := range raws {
		raws[i] = sign(t, priv, pass(fmt.Sprintf("/live/%d", i)))
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				n := (i + g) % len(raws)
				if _, err := src.Load().Check(raws[n], now, fmt.Sprintf("/live/%d/x", n)); err != nil {
					t.Error(err)
				}
				if g == 0 && i%50 == 0 {
					src.Store(newVerifier(t, Options{Keys: []Key{pub}, Memo: 64}))
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []Alg{HS256, ES256, EdDSA} {
		priv, pub := newKey(b, "k1", alg)
		v := newVerifier(b, Options{Keys: []Key{pub}})
		raw := sign(b, priv, pass("/live/news/"))
		b.Run(string(alg)+"/examined", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.examine(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/remembered", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Check(raw, now, "/live/news/hd/1.m4s"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
