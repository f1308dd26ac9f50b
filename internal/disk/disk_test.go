package disk_test

import (
	"testing"

	"weir/internal/disk"
	"weir/internal/disk/disktest"
)

// What the log relies on is what the system does.
func TestTheSystemKeepsTheContract(t *testing.T) {
	disktest.Run(t, func(t *testing.T) (disk.FS, string) { return disk.OS(), t.TempDir() })
}

// What tests are run on behaves as what operators run on.
func TestTheFakeKeepsTheContract(t *testing.T) {
	disktest.Run(t, func(t *testing.T) (disk.FS, string) {
		d := disktest.NewFake()
		t.Cleanup(func() {
			if n := d.Handles(); n != 0 {
				t.Errorf("%d files are open", n)
			}
		})
		if err := d.FS().MkdirAll("/data"); err != nil {
			t.Fatal(err)
		}
		return d.FS(), "/data"
	})
}
