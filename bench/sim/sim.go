// Package sim is a whole cluster in one process, under a fake clock, driven by
// scenarios that read like a story.
//
// The origin, the caches, the edges and the gossip among them are the real
// ones; only the wires between them are not. A scenario is commands and the
// transcript that they must give, counters included: testdata/*.txt holds
// them, `go test ./bench/sim -update` rewrites them. Commit a rewritten
// transcript only if you understand what changed it.
package sim

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A block is a run of commands and what they must print.
type block struct {
	comment  []string
	commands []string
	want     string
}

// separator stands between the commands of a block and their transcript.
const separator = "----"

// parse reads a scenario: blocks of comments ("# ..."), commands, a separator
// and a transcript, with an empty line between blocks.
func parse(text string) ([]block, error) {
	var blocks []block
	for _, chunk := range strings.Split(strings.TrimSpace(text), "\n\n") {
		var b block
		head, want, ok := strings.Cut(chunk+"\n", separator+"\n")
		if !ok {
			return nil, fmt.Errorf("block %q has no %s", chunk, separator)
		}
		b.want = strings.TrimSpace(want)
		for line := range strings.Lines(head) {
			line = strings.TrimSpace(line)
			switch {
			case line == "":
			case strings.HasPrefix(line, "#"):
				b.comment = append(b.comment, line)
			default:
				b.commands = append(b.commands, line)
			}
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// format is the inverse of parse.
func format(blocks []block) string {
	var out strings.Builder
	for i, b := range blocks {
		if i > 0 {
			out.WriteString("\n")
		}
		for _, lines := range [][]string{b.comment, b.commands, {separator}} {
			for _, l := range lines {
				out.WriteString(l + "\n")
			}
		}
		if b.want != "" {
			out.WriteString(b.want + "\n")
		}
	}
	return out.String()
}

// A line is one command, taken apart: words, then key=value options.
type line struct {
	words []string
	opts  map[string]string
}

func parseLine(s string) line {
	l := line{opts: map[string]string{}}
	for _, f := range strings.Fields(s) {
		if k, v, ok := strings.Cut(f, "="); ok && !strings.Contains(k, "/") {
			l.opts[k] = v
		} else {
			l.words = append(l.words, f)
		}
	}
	return l
}

// word returns word i, "" beyond the last.
func (l line) word(i int) string {
	if i < len(l.words) {
		return l.words[i]
	}
	return ""
}

// number returns an option's value, or def where it is not given.
func (l line) number(key string, def int) (int, error) {
	v, ok := l.opts[key]
	if !ok {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fmt.Errorf("%s=%s: want a number", key, v)
	}
	return n, nil
}

// Play runs a scenario and returns it with the transcript it really gave. It
// must be called in a testing/synctest bubble; settle is synctest.Wait.
func Play(ctx context.Context, text string, settle func()) (string, error) {
	blocks, err := parse(text)
	if err != nil {
		return "", err
	}
	w := &world{ctx: ctx, settle: settle}
	defer w.close()
	for i := range blocks {
		var out []string
		for _, c := range blocks[i].commands {
			said, err := w.do(parseLine(c))
			if err != nil {
				return "", fmt.Errorf("%s: %w", c, err)
			}
			if said != "" {
				out = append(out, said)
			}
		}
		blocks[i].want = strings.Join(out, "\n")
	}
	return format(blocks), nil
}

// do carries out one command and returns what it says.
func (w *world) do(l line) (string, error) {
	f, ok := commands[l.word(0)]
	switch {
	case !ok:
		return "", fmt.Errorf("no such command; there are %s", strings.Join(commandNames(), ", "))
	case w.origins == nil && l.word(0) != "world":
		return "", errors.New("a scenario begins with world")
	}
	return f(w, l)
}

// birth is when every world begins: synctest's clock starts in the year 2000,
// before anything weir counts from.
var birth = time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
