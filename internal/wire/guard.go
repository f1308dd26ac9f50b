package wire

import (
	"bytes"
	"strconv"
	"strings"
)

// A guard reads along with net/http's HTTP/1 parser and finds requests that
// two parsers could understand in two ways: with both Content-Length and
// Transfer-Encoding, with either of them twice, with Transfer-Encoding in
// HTTP/1.0, with folded header lines, with lines behind the first that end in
// a bare LF. net/http accepts most of these and hands
// them on without a trace. All a guard keeps is the current line.
type guard struct {
	state    guardState
	line     []byte // of the current line, at most maxGuardLine bytes
	left     int64  // bytes to skip
	first    bool   // a header field was not seen yet: this is the request line
	http10   bool
	length   int64 // Content-Length; -1: none
	encoding bool  // Transfer-Encoding
}

type guardState uint8

const (
	guardHeader  guardState = iota // request line and header lines
	guardSkip                      // a body of known length
	guardSize                      // a chunk's size line
	guardChunk                     // a chunk's bytes, and the line end after them
	guardTrailer                   // lines after the last chunk
)

// maxGuardLine bounds what a guard keeps of a line; net/http bounds the line
// itself. What is looked for is shorter, but for the version at a request
// line's end.
const maxGuardLine = 64 << 10

func newGuard() guard { return guard{first: true, length: -1} }

// feed takes the next bytes from the connection. It returns -1, or the index
// in p of a byte that must not reach the parser.
func (g *guard) feed(p []byte) int {
	for i := 0; i < len(p); {
		if g.state == guardSkip || g.state == guardChunk {
			n := min(g.left, int64(len(p)-i))
			g.left -= n
			i += int(n)
			if g.left == 0 {
				g.skipped()
			}
			continue
		}
		if g.state == guardHeader && !g.first && len(g.line) == 0 && (p[i] == ' ' || p[i] == '\t') {
			return i // a folded line
		}
		end := bytes.IndexByte(p[i:], '\n')
		if end < 0 {
			g.keep(p[i:])
			return -1
		}
		g.keep(p[i : i+end])
		i += end
		line, whole := strings.CutSuffix(string(g.line), "\r")
		if !whole && !g.first || !g.endLine(line) {
			return i
		}
		g.line = g.line[:0]
		i++
	}
	return -1
}

func (g *guard) keep(p []byte) {
	if room := maxGuardLine - len(g.line); len(p) > room {
		p = p[:room]
	}
	g.line = append(g.line, p...)
}

// skipped goes on behind a body or chunk.
func (g *guard) skipped() {
	if g.state == guardSkip {
		g.restart()
	} else {
		g.state = guardSize
	}
}

func (g *guard) restart() {
	line := g.line[:0]
	if cap(line) > 4<<10 {
		line = nil
	}
	*g = newGuard()
	g.line = line
}

// endLine takes a whole line and reports whether it may pass.
func (g *guard) endLine(line string) bool {
	switch {
	case g.state == guardSize:
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 62)
		switch {
		case err != nil:
			return false
		case n == 0:
			g.state = guardTrailer
		default:
			g.state, g.left = guardChunk, int64(n)+2
		}
	case g.state == guardTrailer:
		if line == "" {
			g.restart()
		}
	case g.first && line == "": // before a request line it is nothing
	case g.first:
		g.first = false
		g.http10 = strings.HasSuffix(line, "HTTP/1.0")
	case line == "":
		g.endHeader()
	default:
		return g.field(line)
	}
	return true
}

func (g *guard) field(line string) bool {
	name, value, _ := strings.Cut(line, ":")
	switch name = strings.TrimSpace(name); {
	case strings.EqualFold(name, "Content-Length"):
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 63)
		if err != nil || g.encoding || g.length >= 0 {
			return false
		}
		g.length = int64(n)
	case strings.EqualFold(name, "Transfer-Encoding"):
		if g.encoding || g.length >= 0 || g.http10 {
			return false
		}
		g.encoding = true
	}
	return true
}

func (g *guard) endHeader() {
	switch {
	case g.encoding:
		g.state = guardSize
	case g.length > 0:
		g.state, g.left = guardSkip, g.length
	default:
		g.restart()
	}
}
