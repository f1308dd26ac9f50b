package shelf

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// aligned returns n bytes as O_DIRECT wants them.
func aligned(n int) []byte {
	p := make([]byte, n+4096)
	skip := int(-uintptr(unsafe.Pointer(&p[0])) & 4095)
	return p[skip : skip+n : skip+n]
}

// BenchmarkDirect is what decision 012 rests on: the same bytes in objects of
// three sizes, written one after the other and read at random, through the page
// cache and past it. Before it is read a file is flushed and taken out of the
// page cache, so that "cold" comes from the disk.
func BenchmarkDirect(b *testing.B) {
	const total = 512 << 20
	for _, size := range []int{512 << 10, 1 << 20, 2 << 20} {
		for _, mode := range []struct {
			name string
			flag int
		}{{"cache", 0}, {"direct", unix.O_DIRECT}} {
			name := filepath.Join(b.TempDir(), "f")
			open := func(flag int) *os.File {
				f, err := os.OpenFile(name, flag|mode.flag, 0o600)
				if err != nil {
					b.Fatal(err) // this file system has no O_DIRECT
				}
				return f
			}
			buf := aligned(size)
			b.Run(fmt.Sprintf("write/%s/%dKiB", mode.name, size>>10), func(b *testing.B) {
				b.SetBytes(total)
				for b.Loop() {
					f := open(os.O_WRONLY | os.O_CREATE | os.O_TRUNC)
					for range total / size {
						if _, err := f.Write(buf); err != nil {
							b.Fatal(err)
						}
					}
					_ = unix.Fdatasync(int(f.Fd()))
					_ = f.Close()
				}
			})
			for _, warm := range []bool{false, true} {
				for _, readers := range []int{1, 8} {
					if warm && mode.flag != 0 {
						continue
					}
					b.Run(fmt.Sprintf("read/%s/%dKiB/warm=%v/readers=%d", mode.name, size>>10, warm, readers), func(b *testing.B) {
						f := open(os.O_RDONLY)
						defer f.Close()
						order := rand.Perm(total / size)
						b.SetBytes(total)
						for b.Loop() {
							if !warm {
								b.StopTimer()
								_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
								b.StartTimer()
							}
							var wg sync.WaitGroup
							for r := range readers {
								wg.Go(func() {
									p := aligned(chunkSize) // as Get reads
									for i := r; i < len(order); i += readers {
										for off := 0; off < size; off += chunkSize {
											if _, err := f.ReadAt(p, int64(order[i]*size+off)); err != nil {
												panic(err)
											}
										}
									}
								})
							}
							wg.Wait()
						}
					})
				}
			}
		}
	}
}
