package seglog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// The layout of a file, all numbers little-endian. docs/log-format.md says it in words.
const (
	formatVersion = 1
	preambleSize  = 24
	headerSize    = 48
	wholeSize     = headerSize + 12 // a whole record
	maxPayload    = 8 << 20         // bytes of a record without what follows a body record

	suffix = ".weirlog"
)

// A kind is the type of a record.
type kind uint8

const (
	publish kind = iota + 1 // state, and entries that are published
	blob                    // a blob
	body                    // the name and size of a body; the bytes follow the record
	whole                   // follows the bytes of a body: they are all there
	seal                    // the last record of a file: all others once more, less blobs and bytes
)

func (k kind) String() string {
	if k >= publish && k <= seal {
		return [...]string{"publish", "blob", "body", "whole", "seal"}[k-1]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Flags of a record.
const (
	checkpoint = 1 << iota // publish: the state is all there is
	carried                // publish: the entries were announced in an older file
	clean                  // seal: by Close
	unindexed              // seal: the records are not repeated; they were too many
)

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	recordMagic = []byte{'w', 'L', 'r', 0xA7}
	fileMagic   = []byte("weirlog")
)

func sum(p []byte) uint32 { return update(0, p) }

func update(crc uint32, p []byte) uint32 { return crc32.Update(crc, castagnoli, p) }

// appendPreamble begins a file. Its first 24 bytes are the same in every version.
// The nonce is random: it is in every record of the file, so that no record of
// another file, and none that a publisher hides in a body, is taken for one of it.
func appendPreamble(b []byte, nonce uint64) []byte {
	n := len(b)
	b = append(b, fileMagic...)
	b = append(b, formatVersion)
	b = binary.LittleEndian.AppendUint64(b, nonce)
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, sum(b[n:]))
}

// parsePreamble returns the nonce, and the version, 0 if this is no preamble.
func parsePreamble(p []byte) (nonce uint64, version byte) {
	if len(p) < preambleSize || string(p[:7]) != string(fileMagic) ||
		sum(p[:preambleSize-4]) != binary.LittleEndian.Uint32(p[preambleSize-4:]) {
		return 0, 0
	}
	return binary.LittleEndian.Uint64(p[8:]), p[7]
}

// A header is the beginning of a record.
type header struct {
	kind   kind
	flags  byte
	nonce  uint64
	off    int64 // of the record in its file
	synced int64 // bytes of the file that a Sync had made durable when this was written
	size   int   // bytes of the payload
	sum    uint32
}

func (h *header) end() int64 { return h.off + headerSize + int64(h.size) }

// appendRecord appends a record with its payload.
func appendRecord(b []byte, h header, payload []byte) []byte {
	n := len(b)
	b = append(b, recordMagic...)
	b = append(b, byte(h.kind), h.flags, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, h.nonce)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.off))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.synced))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, sum(payload))
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, sum(b[n:]))
	return append(b, payload...)
}

// parseHeader returns the header that stands at off, if there is one.
func parseHeader(p []byte, off int64) (h header, ok bool) {
	if len(p) < headerSize || string(p[:4]) != string(recordMagic) ||
		sum(p[:headerSize-4]) != binary.LittleEndian.Uint32(p[headerSize-4:]) {
		return h, false
	}
	h = header{
		kind: kind(p[4]), flags: p[5],
		nonce:  binary.LittleEndian.Uint64(p[8:]),
		off:    int64(binary.LittleEndian.Uint64(p[16:])),
		synced: int64(binary.LittleEndian.Uint64(p[24:])),
		size:   int(min(binary.LittleEndian.Uint32(p[32:]), maxPayload+1)),
		sum:    binary.LittleEndian.Uint32(p[36:]),
	}
	return h, h.off == off && h.size <= maxPayload && h.synced >= 0 && h.synced <= off &&
		h.kind >= publish && h.kind <= seal
}

// fileName returns the name of a file of the log.
func fileName(id uint64) string { return fmt.Sprintf("%016x%s", id, suffix) }

// fileID returns the id of a file by its name; 0 if it is none of the log.
func fileID(name string) uint64 {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 16 {
		return 0
	}
	id, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || id > 1<<62 || fileName(id) != name { // there is always a next one
		return 0
	}
	return id
}
