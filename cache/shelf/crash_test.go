package shelf

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"weir/internal/disk/disktest"
)

// The process may die at any byte that it writes, and the power with it: what is
// found afterwards is what was put, or nothing, and it can be gone on with. A
// death of the process alone loses nothing that was written whole.
func TestACrashAtAnyWrite(t *testing.T) {
	f := func(name string, power bool) {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				bubble(t, func(t *testing.T, d *disktest.Fake) {
					rng := rand.New(rand.NewPCG(seed, 7))
					size := map[string]int{}
					version := map[string]int{} // the last that was put
					whole := map[string]int{}   // the last that was written before the death
					for life := range 3 {
						s, err := New(options(d.FS()))
						if err != nil {
							t.Fatalf("seed %d, life %d: %v", seed, life, err)
						}
						for key, v := range version {
							meta, body, err := take(s, key, anything)
							switch {
							case errors.Is(err, ErrMiss) || errors.Is(err, ErrBad):
								if !power && whole[key] > 0 {
									t.Errorf("seed %d, life %d: %s is lost", seed, life, key)
								}
							case err != nil:
								t.Errorf("seed %d, life %d: %s: %v", seed, life, key, err)
							default:
								var got int
								_, _ = fmt.Sscanf(meta, "v%d", &got)
								if got < 1 || got > v || string(body) != string(pattern(key, got, size[fmt.Sprint(key, got)])) {
									t.Errorf("seed %d, life %d: %s: %q and %d bytes were never put", seed, life, key, meta, len(body))
								}
							}
						}
						d.KillAfter(int64(rng.IntN(3 * megabyte)))
						for range 20 {
							key := fmt.Sprint("/k", rng.IntN(6))
							n := rng.IntN(200 << 10)
							version[key]++
							size[fmt.Sprint(key, version[key])] = n
							s.Put(item(key, version[key], n))
							s.settle()
							if has := s.Has(key); has && s.Usage().Objects > 0 {
								if meta, _, err := take(s, key, anything); err == nil && meta == fmt.Sprint("v", version[key]) {
									whole[key] = version[key]
								}
							}
						}
						if power {
							d.PowerCut(rng)
						} else {
							d.Kill(rng)
						}
						_ = s.Close(context.Background())
					}
				})
			}
		})
	}
	f("of the process", false)
	f("of the power", true)
}
