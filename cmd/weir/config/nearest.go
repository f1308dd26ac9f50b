package config

import "strings"

// nearest returns the name a mistyped one most likely meant, or "".
func nearest(typed string, names []string) string {
	best, most := "", max(1, len(typed)/3)+1
	for _, name := range names {
		if d := distance(strings.ToLower(typed), name); d < most {
			best, most = name, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, change or swap to make
// b of a.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(next[j]+1, row[j+1]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
