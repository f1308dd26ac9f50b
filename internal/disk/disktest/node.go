package disktest

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// A node is a file or a directory: what programs see, and what would be left of
// it after a power cut.
type node struct {
	dir bool

	// Of a file. data is the page cache. durable shares its bytes with data as
	// long as data only grows, which is why truncating copies.
	data, durable []byte
	low           int    // the least size since the last Sync
	lost          []span // dropped by a Sync that failed
	links         int    // names it has

	// Of a directory.
	names, kept map[string]*node // now, and after a power cut
}

type span struct{ from, to int }

func newDir() *node {
	return &node{dir: true, names: map[string]*node{}, kept: map[string]*node{}}
}

// A dirOp is one change of names, in one directory or two.
type dirOp struct {
	dirs  []*node
	apply func(names func(dir *node) map[string]*node)
}

// change applies a change to what programs see and notes that it is not durable.
func (d *Fake) change(apply func(names func(*node) map[string]*node), dirs ...*node) {
	apply(func(n *node) map[string]*node { return n.names })
	d.pending = append(d.pending, &dirOp{dirs, apply})
}

// commit makes the changes of dir durable, and those that a rename to or from
// another directory ties to them.
func (d *Fake) commit(dir *node) {
	with := map[*node]bool{dir: true}
	var due, rest []*dirOp
	for _, op := range slices.Backward(d.pending) {
		if !slices.ContainsFunc(op.dirs, func(n *node) bool { return with[n] }) {
			rest = append(rest, op)
			continue
		}
		due = append(due, op)
		for _, n := range op.dirs {
			with[n] = true
		}
	}
	slices.Reverse(rest)
	d.pending = rest
	for _, op := range slices.Backward(due) {
		op.apply(func(n *node) map[string]*node { return n.kept })
	}
}

// split returns the elements of a path.
func split(name string) []string {
	name = strings.Trim(filepath.ToSlash(filepath.Clean(name)), "/")
	if name == "." || name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// find returns the node of a path.
func (d *Fake) find(op Op, name string) (*node, error) {
	n := d.root
	for _, e := range split(name) {
		if n = n.names[e]; n == nil {
			return nil, &fs.PathError{Op: string(op), Path: name, Err: fs.ErrNotExist}
		}
	}
	return n, nil
}

// parent returns the directory of a path and the last element.
func (d *Fake) parent(op Op, name string) (*node, string, error) {
	dir, err := d.find(op, filepath.Dir(filepath.Clean(name)))
	if err != nil || !dir.dir || len(split(name)) == 0 {
		return nil, "", &fs.PathError{Op: string(op), Path: name, Err: fs.ErrNotExist}
	}
	return dir, filepath.Base(name), nil
}

// unlink counts a name less; with the last one the room is free again.
func (d *Fake) unlink(n *node) {
	if n.links--; n.links == 0 && d.room >= 0 {
		d.room += int64(len(n.data))
	}
}

// nodes calls f for each node below n, once, names in order.
func nodes(n *node, f func(*node)) {
	seen := map[*node]bool{}
	var walk func(*node)
	walk = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		f(n)
		for _, name := range slices.Sorted(maps.Keys(n.names)) {
			walk(n.names[name])
		}
	}
	walk(n)
}
