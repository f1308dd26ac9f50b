package shelf

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
)

// A file is its header, then records one after the other, then, when it is
// done, a footer that lists them (footer.go). A record is its fixed part, the
// key, what the owner says of the thing (meta), a checksum for each block of
// the body, and the body. All numbers are little-endian.
//
//	 0 magic     4   "wcR1"
//	 4 kind      4
//	 8 hash      8   of the key
//	16 sub       4   which of the things under one key
//	20 stamp     4   which version of it
//	24 file      4   where the record stands: a block of an older file that
//	28 off       4   the file system left here does not pass for one of ours
//	32 key       4   lengths in bytes
//	36 meta      4
//	40 body      4
//	44 body file 4   kindHead only: where the body stands
//	48 body off  4
//	52 zero      4
//	56 sums      4   of the block checksums, key and meta
//	60 sum       4   of the 60 bytes before
const (
	recordSize = 64
	fileHeader = 16
	blockSize  = 64 << 10
	maxKey     = 64 << 10
	maxMeta    = 1 << 20

	recordMagic = 0x31526377 // "wcR1"
	fileMagic   = 0x31466377 // "wcF1"
)

type kind uint32

const (
	kindObject kind = 1 // a thing
	kindHead   kind = 2 // a new head for a body that stands in another record
	kindGone   kind = 3 // all that stood before this under the hash is void
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

func sum(p []byte) uint32 { return crc32.Checksum(p, crcTable) }

// Hash is what stands for a key in the index. It is the same after a restart,
// and nobody can make many keys of one hash.
func Hash(key string) uint64 {
	h := sha256.Sum256([]byte(key))
	return binary.LittleEndian.Uint64(h[:])
}

// A Place is where something begins. The zero Place is nowhere.
type Place struct{ File, Off uint32 }

// A record is the fixed part.
type record struct {
	kind            kind
	hash            uint64
	sub, stamp      uint32
	at              Place
	key, meta, body uint32
	bodyAt          Place // of kindHead
	sums            uint32
}

// blocks is how many blocks a body of n bytes has.
func blocks(n uint32) uint32 { return uint32((uint64(n) + blockSize - 1) / blockSize) }

// head returns the bytes before the body.
func (r *record) head() int64 {
	return recordSize + int64(r.key) + int64(r.meta) + 4*int64(blocks(r.body))
}

// size returns all bytes of the record.
func (r *record) size() int64 {
	if r.kind == kindObject {
		return r.head() + int64(r.body)
	}
	return r.head()
}

// place returns where the body begins.
func (r *record) place() Place {
	if r.kind == kindHead {
		return r.bodyAt
	}
	return Place{r.at.File, r.at.Off + uint32(r.head())}
}

// appendRecord appends the fixed part. Sums must be set.
func appendRecord(dst []byte, r *record) []byte {
	start, le := len(dst), binary.LittleEndian
	dst = le.AppendUint32(dst, recordMagic)
	dst = le.AppendUint32(dst, uint32(r.kind))
	dst = le.AppendUint64(dst, r.hash)
	for _, n := range [...]uint32{r.sub, r.stamp, r.at.File, r.at.Off, r.key, r.meta, r.body, r.bodyAt.File, r.bodyAt.Off, 0, r.sums} {
		dst = le.AppendUint32(dst, n)
	}
	return le.AppendUint32(dst, sum(dst[start:]))
}

// parseRecord reads the fixed part of the record that stands at the place.
func parseRecord(p []byte, at Place) (record, bool) {
	le := binary.LittleEndian
	if len(p) < recordSize || le.Uint32(p) != recordMagic || le.Uint32(p[60:]) != sum(p[:60]) {
		return record{}, false
	}
	r := record{
		kind: kind(le.Uint32(p[4:])), hash: le.Uint64(p[8:]), sub: le.Uint32(p[16:]), stamp: le.Uint32(p[20:]),
		at:  Place{le.Uint32(p[24:]), le.Uint32(p[28:])},
		key: le.Uint32(p[32:]), meta: le.Uint32(p[36:]), body: le.Uint32(p[40:]),
		bodyAt: Place{le.Uint32(p[44:]), le.Uint32(p[48:])}, sums: le.Uint32(p[56:]),
	}
	ok := r.kind >= kindObject && r.kind <= kindGone && r.at == at && r.key <= maxKey && r.meta <= maxMeta && r.body <= maxFile
	return r, ok
}

// A head is a record with what stands before the body.
type head struct {
	record
	name string
	said []byte // meta
	crcs []byte // of the body's blocks
}

// parseHead takes apart all that stands before the body.
func parseHead(p []byte, at Place) (head, bool) {
	r, ok := parseRecord(p, at)
	if !ok || r.kind == kindGone || int64(len(p)) != r.head() || sum(p[recordSize:]) != r.sums {
		return head{}, false
	}
	rest := p[recordSize:]
	return head{record: r, name: string(rest[:r.key]), said: rest[r.key : r.key+r.meta], crcs: rest[r.key+r.meta:]}, true
}

// block returns the checksum of the body's block number i.
func (h *head) block(i int64) uint32 { return binary.LittleEndian.Uint32(h.crcs[4*i:]) }

// appendFileHeader appends what a file begins with.
func appendFileHeader(dst []byte, number uint32) []byte {
	le, start := binary.LittleEndian, len(dst)
	dst = le.AppendUint32(dst, fileMagic)
	dst = le.AppendUint32(dst, number)
	dst = le.AppendUint32(dst, blockSize)
	return le.AppendUint32(dst, sum(dst[start:]))
}

func isFileHeader(p []byte, number uint32) bool {
	return len(p) >= fileHeader && string(p[:fileHeader]) == string(appendFileHeader(nil, number))
}
