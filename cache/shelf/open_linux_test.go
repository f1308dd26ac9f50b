package shelf

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/internal/disk"
)

// synthetic makes a directory that looks like one with n objects of a size, whose
// bodies are holes: opening reads none of their bytes.
func synthetic(t testing.TB, o Options, n, size int, footers, flush bool) (files int) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	for i := 0; i < n; {
		files++
		number := uint32(files)
		f, err := os.OpenFile(s.path(number), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		at := func(p []byte, off int64) {
			if _, err := f.WriteAt(p, off); err != nil {
				t.Fatal(err)
			}
		}
		at(appendFileHeader(nil, number), 0)
		var records []record
		off := int64(fileHeader)
		for ; i < n; i++ {
			key := fmt.Sprintf("/live/channel-%03d/1080p/seg-%08d.m4s", i%500, i)
			r := record{kind: kindObject, hash: Hash(key), stamp: uint32(i), at: Place{number, uint32(off)},
				key: uint32(len(key)), meta: 300, body: uint32(size)}
			if off+r.size() > o.FileSize {
				break
			}
			said := append([]byte(key), make([]byte, r.head()-recordSize-int64(len(key)))...)
			r.sums = sum(said)
			at(append(appendRecord(nil, &r), said...), off)
			records = append(records, r)
			off += r.size()
		}
		if err := f.Truncate(off); err != nil {
			t.Fatal(err)
		}
		if footers {
			at(appendFooter(nil, records, number, off), off)
		}
		if flush { // what is not on the disk stays in the page cache
			_ = f.Sync()
		}
		_ = f.Close()
	}
	return files
}

// BenchmarkOpen is the opening of 10 GB: 20,000 objects of 512 KiB. Wanted: < 2 s.
// Each time what it reads is not in the page cache. Without footers is what a
// crash in each of its files would leave; one crash leaves one such file.
func BenchmarkOpen(b *testing.B) {
	for _, c := range []struct {
		name    string
		n, size int
		footers bool
	}{
		{"20000x512KiB", 20_000, 512 << 10, true},
		{"20000x512KiB/no footers", 20_000, 512 << 10, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			o := Options{FS: disk.Private(), Dir: b.TempDir(), Max: 16 << 30, FileSize: 160 << 20}
			files := synthetic(b, o, c.n, c.size, c.footers, true)
			for b.Loop() {
				b.StopTimer()
				for i := range files {
					if f, err := os.Open((&Shelf{opts: o}).path(uint32(i + 1))); err == nil {
						_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
						_ = f.Close()
					}
				}
				b.StartTimer()
				s, err := New(o)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if u := s.Usage(); u.Objects != int64(c.n) {
					b.Fatalf("%+v", u)
				}
				_ = s.Close(context.Background())
				b.StartTimer()
			}
			b.ReportMetric(float64(files), "files")
		})
	}
}

// A large disk is open before anybody notices.
func TestTenGigabytesOpenInTwoSeconds(t *testing.T) {
	o := Options{FS: disk.Private(), Dir: t.TempDir(), Max: 16 << 30, FileSize: 160 << 20}
	synthetic(t, o, 20_000, 512<<10, true, false)
	start := time.Now()
	s := open(t, o)
	took := time.Since(start)
	t.Logf("opened in %v: %+v", took, s.Usage())
	if s.Usage().Objects != 20_000 || took > 2*time.Second {
		t.Errorf("%+v after %v", s.Usage(), took)
	}
	if n := s.Usage().Index / 20_000; n > 110 {
		t.Errorf("%d bytes of memory an object", n)
	}
}
