//go:build !linux

package disk

import "os"

// syncData is all that these systems offer; on darwin Go asks for F_FULLFSYNC.
func syncData(f *os.File) error { return f.Sync() }
