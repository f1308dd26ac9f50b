package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"weir/internal/web"
)

// A stamp tells one state of a file from another, as far as its directory does.
type stamp struct{ info fs.FileInfo }

func (s stamp) is(t stamp) bool {
	if s.info == nil || t.info == nil {
		return s.info == t.info
	}
	return os.SameFile(s.info, t.info) && s.info.Size() == t.info.Size() && s.info.ModTime().Equal(t.info.ModTime())
}

func (s stamp) written() time.Time { return s.info.ModTime() }

var (
	errNotPlain = errors.New("is no plain file")
	errChanged  = errors.New("changed while it was read")
	errAway     = errors.New("the folder cannot be read")
)

// stat returns the state of a plain file. A link is none, wherever it leads.
func (f *Folder) stat(name string) (stamp, error) {
	root := f.root.Load()
	if root == nil {
		return stamp{}, errAway
	}
	info, err := root.Lstat(name)
	if err != nil {
		return stamp{}, err
	}
	if !info.Mode().IsRegular() {
		return stamp{}, errNotPlain
	}
	return stamp{info}, nil
}

// A file is the content of a plain file in one state: reading it ends with an error where
// the file is in another by then. It implements [io.Reader].
type file struct {
	f    *os.File
	is   stamp
	left int64
}

// openAs opens a file that is in the state is.
func (f *Folder) openAs(name string, is stamp) (*file, error) {
	root := f.root.Load()
	if root == nil {
		return nil, errAway
	}
	// What became a pipe or a device since it was looked at must not block.
	h, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	x := &file{f: h, is: is, left: is.info.Size()}
	if err := x.unchanged(); err != nil {
		_ = h.Close()
		return nil, err
	}
	return x, nil
}

func (x *file) unchanged() error {
	info, err := x.f.Stat()
	if err == nil && !x.is.is(stamp{info}) {
		err = errChanged
	}
	return err
}

func (x *file) Read(p []byte) (int, error) {
	if x.left == 0 {
		if err := x.unchanged(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := x.f.Read(p[:min(int64(len(p)), x.left)])
	if x.left -= int64(n); err == io.EOF {
		err = errChanged // it was longer
	}
	return n, err
}

func (x *file) close() { _ = x.f.Close() }

// put pushes a body of n bytes and returns the status of the answer. An error is one of
// reading, or of ctx; the origin has logged what it refused.
func (f *Folder) put(ctx context.Context, name string, n int64, body io.Reader) (status int, err error) {
	req := &web.Request{Method: http.MethodPut, Path: "/ingest/" + name, Body: body,
		Header: web.NewHeader("Content-Length", strconv.FormatInt(n, 10))}
	resp, err := f.opts.Ingest.Serve(ctx, req)
	if err == nil {
		defer resp.Close()
		return resp.Status, nil
	}
	if errors.Is(err, errChanged) || ctx.Err() != nil {
		return 0, err
	}
	return web.StatusOf(err), nil
}

// outcome is what became of a file; it is a metric label.
type outcome string

const (
	pushed  outcome = "pushed"
	refused outcome = "refused" // by the origin, for good
	busy    outcome = "busy"    // by the origin, for now
	changed outcome = "changed" // while it was read
	missing outcome = "missing" // listed, and never whole in time
)

// send pushes a file that is in the state is.
func (f *Folder) send(ctx context.Context, name string, is stamp) (outcome, error) {
	x, err := f.openAs(name, is)
	if errors.Is(err, errChanged) {
		return changed, nil
	}
	if err != nil {
		return missing, fmt.Errorf("open %s: %w", name, err)
	}
	defer x.close()
	status, err := f.put(ctx, name, is.info.Size(), x)
	return judge(status, err), nil
}

func judge(status int, err error) outcome {
	switch {
	case err != nil:
		return changed
	case status < 300:
		return pushed
	case status >= 500, status == http.StatusTooManyRequests:
		return busy
	}
	return refused
}
