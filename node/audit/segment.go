package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// A segment is a file of frames after a head, and beside it a file of the hashes of its records' part of the tree.
//
//	head   magic, number of the first record, root of the tree before it, CRC32C
//	frame  kind, length, payload, CRC32C of all three
//
// A batch is its records' frames and then one of a checkpoint. What follows the last checkpoint was never signed.
const (
	segMagic = "spaudit1"
	headLen  = len(segMagic) + 8 + tlog.HashSize + 4

	frameRecord byte = 'r'
	frameHead   byte = 'c' // a checkpoint
	frameSeal   byte = 'e' // a checkpoint that ends the segment
	frameExtra       = 1 + 4 + 4

	segSuffix  = ".seg"
	hashSuffix = ".hash"
	prunedName = "pruned"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func segName(first int64) string { return fmt.Sprintf("%020d", first) }

// firstOf reads the name of a segment.
func firstOf(name string) (int64, bool) {
	s, ok := strings.CutSuffix(name, segSuffix)
	if !ok || len(s) != 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && n < maxSize
}

func segPath(dir string, first int64) string  { return filepath.Join(dir, segName(first)+segSuffix) }
func hashPath(dir string, first int64) string { return filepath.Join(dir, segName(first)+hashSuffix) }

func appendHead(b []byte, first int64, root tlog.Hash) []byte {
	start := len(b)
	b = append(b, segMagic...)
	b = binary.BigEndian.AppendUint64(b, uint64(first))
	b = append(b, root[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func parseHead(b []byte) (first int64, root tlog.Hash, err error) {
	n := headLen - 4
	if len(b) < headLen || !bytes.HasPrefix(b, []byte(segMagic)) || crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:headLen]) {
		return 0, root, errors.New("its head is damaged")
	}
	copy(root[:], b[len(segMagic)+8:])
	return int64(binary.BigEndian.Uint64(b[len(segMagic):])), root, nil
}

func appendFrame(b []byte, kind byte, payload []byte) []byte {
	start := len(b)
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

var errFrame = errors.New("a frame is damaged or cut off")

// nextFrame reads the frame at the start of b, and how long it is.
func nextFrame(b []byte) (kind byte, payload []byte, n int, err error) {
	if len(b) < frameExtra {
		return 0, nil, 0, errFrame
	}
	kind = b[0]
	size := int(binary.BigEndian.Uint32(b[1:]))
	most := MaxRecord
	if kind != frameRecord {
		most = MaxNote
	}
	if kind != frameRecord && kind != frameHead && kind != frameSeal || size > most || size > len(b)-frameExtra {
		return kind, nil, 0, errFrame
	}
	n = size + frameExtra
	if crc32.Checksum(b[:n-4], castagnoli) != binary.BigEndian.Uint32(b[n-4:n]) {
		return kind, b[5 : 5+size], n, errFrame
	}
	return kind, b[5 : 5+size], n, nil
}
