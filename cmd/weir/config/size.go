package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. It is written with its unit, as in 512MiB.
type Size int64

// The binary units.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

var units = []struct { // longest first where one ends in another
	name  string
	bytes Size
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}

const sizeWanted = "a size is a whole number and its unit: B, KiB, MiB, GiB, TiB (powers of 1024) or kB, MB, GB, TB (powers of 1000), as in 512MiB"

// ParseSize reads a Size. The unit may stand off by a space; only 0 needs none.
func ParseSize(s string) (Size, error) {
	if s == "0" {
		return 0, nil
	}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		digits = strings.TrimSuffix(digits, " ")
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || Size(n) > math.MaxInt64/u.bytes {
			break
		}
		return Size(n) * u.bytes, nil
	}
	return 0, fmt.Errorf("%q is no size: %s", s, sizeWanted)
}

// String writes s in the largest unit that leaves no fraction.
func (s Size) String() string {
	if s != 0 {
		for _, u := range units {
			if s%u.bytes == 0 && (u.bytes > 1e6 && u.bytes%1024 == 0 || u.bytes == KiB || u.bytes == 1) {
				return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
			}
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}
