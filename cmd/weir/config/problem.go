package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong, or worth a warning, in what the
// operator wrote.
type Problem struct {
	File string // the config file as it was named, or the flag, e.g. "--listen"
	Line int    // from 1; 0: no line in particular
	Key  string // the full dotted key; "" where the file as a whole is meant
	Text string // what is wrong and what is allowed
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	for _, s := range []string{p.Key, p.Text} {
		if s != "" {
			if b.Len() > 0 {
				b.WriteString(": ")
			}
			b.WriteString(s)
		}
	}
	return b.String()
}

// Problems are all that were found, in the order of their lines. As an error
// they are one line each.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}

// A source knows where each key was said, and gathers what is wrong.
type source struct {
	file   string            // "" for a config made in code
	dir    string            // what relative file names start from
	lines  map[string]int    // full key -> line it was given on
	flags  map[string]string // full key -> flag that gave it
	root   reflect.Type      // the struct being filled, to say where a key belongs
	bad    Problems
	broken bool // the text is no YAML, so that what it says is unknown
	warn   Problems
}

func newSource(file string) *source {
	return &source{file: file, lines: map[string]int{}, flags: map[string]string{}}
}

// problem places a text at the key, or where the nearest key above it was said.
func (s *source) problem(key, format string, args ...any) Problem {
	p := Problem{File: s.file, Key: key, Text: fmt.Sprintf(format, args...)}
	for at := key; at != ""; at = parent(at) {
		if flag, ok := s.flags[at]; ok {
			p.File = flag
			return p
		}
		if line, ok := s.lines[at]; ok {
			p.Line = line
			return p
		}
	}
	if s.file != "" {
		p.Line = 1 // a key that is missing is missing from the top
	}
	return p
}

func (s *source) badf(key, format string, args ...any) {
	s.bad = append(s.bad, s.problem(key, format, args...))
}

func (s *source) badAt(line int, key, format string, args ...any) {
	s.bad = append(s.bad, Problem{File: s.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

func (s *source) warnf(key, format string, args ...any) {
	s.warn = append(s.warn, s.problem(key, format, args...))
}

// given reports whether the operator said this key, in the file or by a flag.
func (s *source) given(key string) bool {
	_, inFile := s.lines[key]
	_, byFlag := s.flags[key]
	return inFile || byFlag
}

func (s *source) err() error {
	if len(s.bad) == 0 {
		return nil
	}
	s.bad.sort()
	return s.bad
}

// parent returns the key that holds this one: a.b[0].c -> a.b[0] -> a.b -> a.
func parent(key string) string {
	i := strings.LastIndexAny(key, ".[")
	return key[:max(i, 0)]
}
