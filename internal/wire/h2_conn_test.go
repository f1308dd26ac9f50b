package wire

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/http2"
)

// from is a connection that yields what r does, and is told when it is closed.
type from struct {
	net.Conn // never used
	r        io.Reader
}

func (f from) Read(p []byte) (int, error) { return f.r.Read(p) }
func (f from) Close() error               { return nil }
func (f from) RemoteAddr() net.Addr       { return &net.TCPAddr{} }

func guardedConn(r io.Reader) *h2Conn {
	return newH2Conn(from{r: r}, nil, newTLSMetrics(nil, ""), newAccount(nil, false, nil, "", nil))
}

// What a client sends reaches net/http byte for byte, in whatever pieces it comes and is read.
func TestFramesPassAsTheyAre(t *testing.T) {
	var sent bytes.Buffer
	sent.WriteString(preface)
	fr := http2.NewFramer(&sent, nil)
	_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 77})
	for i := range uint32(50) {
		_ = fr.WriteRawFrame(http2.FrameHeaders, 5, 1+2*i, bytes.Repeat([]byte{byte(i)}, int(i*i)))
		_ = fr.WriteData(1+2*i, true, bytes.Repeat([]byte{byte(i)}, int(300*i)))
		_ = fr.WriteWindowUpdate(0, 5)
	}
	want := sent.Bytes()
	f := func(name string, r io.Reader) {
		t.Helper()
		if err := iotest.TestReader(guardedConn(r), want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("at once", bytes.NewReader(want))
	f("in single bytes", iotest.OneByteReader(bytes.NewReader(want)))
	f("with the error at the end", iotest.DataErrReader(bytes.NewReader(want)))
	rnd := rand.New(rand.NewPCG(1, 2))
	var pieces []io.Reader
	for rest := want; len(rest) > 0; {
		n := min(len(rest), 1+rnd.IntN(40))
		pieces = append(pieces, bytes.NewReader(rest[:n]))
		rest = rest[n:]
	}
	f("in odd pieces", io.MultiReader(pieces...))
}

// A frame too many never reaches net/http: it gets a bad one in its place, at a frame's
// edge, and then nothing.
func TestFrameTooManyIsHeldBack(t *testing.T) {
	var sent bytes.Buffer
	sent.WriteString(preface)
	fr := http2.NewFramer(&sent, nil)
	for range 1200 {
		_ = fr.WritePing(false, [8]byte{1, 2, 3})
	}
	const ping = frameHead + 8
	c := guardedConn(iotest.OneByteReader(&sent))
	got := make([]byte, len(preface)+1000*ping+len(badFrame))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(got, []byte(badFrame)) || bytes.Count(got, []byte("\x01\x02\x03")) != 1000 {
		t.Errorf("%d pings, end %q", bytes.Count(got, []byte("\x01\x02\x03")), got[len(got)-len(badFrame):])
	}
	_ = c.Close()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after it: %d bytes, %v", n, err)
	}
}

// Whatever a client sends, what is handed on is its beginning, or ends in a bad frame.
func FuzzH2Conn(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
	f.Add([]byte(badFrame))
	f.Add([]byte("\xff\xff\xff\x01\x05\x00\x00\x00\x01abc"))
	f.Fuzz(func(t *testing.T, frames []byte) {
		c := guardedConn(strings.NewReader(preface + string(frames)))
		_ = c.Close() // so that nothing waits
		got, err := io.ReadAll(io.LimitReader(c, int64(len(preface)+len(frames)+len(badFrame))))
		if err != nil && err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		if !c.bad && !strings.HasPrefix(preface+string(frames), string(got)) {
			t.Errorf("sent %q, read %q", frames, got)
		}
	})
}
