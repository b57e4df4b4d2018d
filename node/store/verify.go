package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
)

// This file reads a bbolt file (format 2) with plain reads and checks it from end to end before bbolt
// maps it. bbolt trusts its pages: a flipped bit makes it panic, in a goroutine of its own at
// times, fault outside of the map, or follow a pointer to a page of long ago. bbolt's own Tx.Check
// finds less and runs inside the map.

const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10
	flagBucket   = 0x01 // of a leaf element

	pageHeader    = 16 // id u64, flags u16, count u16, overflow u32
	metaLen       = 64 // after the page header
	branchElement = 16 // pos u32, ksize u32, pgid u64
	leafElement   = 16 // flags u32, pos u32, ksize u32, vsize u32
	bucketHeader  = 16 // root u64, sequence u64

	maxDepth = 40 // pages from the root to a leaf, far above what any file of ours can have
)

// bbolt writes in the byte order of its machine. Ours is little endian on every machine that Go's
// release ports for servers run on; a file of the other order has the wrong magic number, and is refused.
var le = binary.LittleEndian

type meta struct {
	pageSize uint32
	root     uint64
	freelist uint64
	pages    uint64 // the high-water mark: page ids are below it
	tx       uint64
}

func parseMeta(page []byte) (meta, error) {
	if len(page) < pageHeader+metaLen {
		return meta{}, errors.New("cut short")
	}
	b := page[pageHeader:]
	if got := le.Uint32(b); got != boltMagic {
		return meta{}, fmt.Errorf("magic number %08x", got)
	}
	if got := le.Uint32(b[4:]); got != boltVersion {
		return meta{}, fmt.Errorf("format %d, not %d", got, boltVersion)
	}
	h := fnv.New64a()
	h.Write(b[:56])
	if got := le.Uint64(b[56:]); got != h.Sum64() {
		return meta{}, fmt.Errorf("checksum %016x instead of %016x", got, h.Sum64())
	}
	m := meta{le.Uint32(b[8:]), le.Uint64(b[16:]), le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:])}
	if m.pageSize < 1024 || m.pageSize > 1<<24 || m.pageSize&(m.pageSize-1) != 0 {
		return meta{}, fmt.Errorf("page size %d", m.pageSize)
	}
	return m, nil
}

// newest reads both meta pages and returns the newer valid one. torn says why the other one is not valid.
func newest(r io.ReaderAt, size int64) (m meta, torn error, err error) {
	read := func(at int64) (meta, error) {
		var b [pageHeader + metaLen]byte
		if at+int64(len(b)) > size {
			return meta{}, fmt.Errorf("the file ends at %d bytes", size)
		}
		if _, err := r.ReadAt(b[:], at); err != nil {
			return meta{}, err
		}
		return parseMeta(b[:])
	}
	m0, err0 := read(0)
	var m1 meta
	var err1 error
	if err0 == nil {
		m1, err1 = read(int64(m0.pageSize))
	} else {
		for p := int64(1024); p <= 1<<24; p <<= 1 {
			if m1, err1 = read(p); err1 == nil {
				if int64(m1.pageSize) == p {
					break
				}
				err1 = fmt.Errorf("page size %d at %d", m1.pageSize, p)
			}
		}
	}
	switch {
	case err0 != nil && err1 != nil:
		return meta{}, nil, fmt.Errorf("neither of its two meta pages is valid (the first: %w)", err0)
	case err0 != nil:
		return m1, fmt.Errorf("meta page 0: %w", err0), nil
	case err1 != nil:
		return m0, fmt.Errorf("meta page 1: %w", err1), nil
	case m0.pageSize != m1.pageSize || m0.tx%2 != 0 || m1.tx%2 != 1 || (m0.tx+1 != m1.tx && m1.tx+1 != m0.tx):
		return meta{}, nil, fmt.Errorf("its two meta pages do not belong together (transactions %d and %d)", m0.tx, m1.tx)
	case m0.tx > m1.tx:
		return m0, nil, nil
	}
	return m1, nil, nil
}

// verifier walks the pages of one file.
type verifier struct {
	r    io.ReaderAt
	m    meta
	seen []bool // by page id: reached from the root, or part of the freelist, or free
	each func(bucket string, key, raw []byte) error
}

// verify checks the whole file and calls each for every record of every bucket, in order. The slices
// are only valid during the call.
func verify(r io.ReaderAt, size int64, each func(bucket string, key, raw []byte) error) (m meta, torn error, err error) {
	m, torn, err = newest(r, size)
	if err != nil {
		return m, torn, err
	}
	// Pages that are allocated but were never written may lie beyond the end only if they are free; the
	// file is grown before a commit, so a high-water mark beyond the end means that it was cut.
	if m.pages < 4 || m.pages > uint64(size)/uint64(m.pageSize) {
		return m, torn, fmt.Errorf("it should have %d pages of %d bytes and has %d bytes", m.pages, m.pageSize, size)
	}
	v := &verifier{r: r, m: m, seen: make([]bool, m.pages), each: each}
	v.seen[0], v.seen[1] = true, true
	if err := v.tree("", m.root, 0, nil, nil); err != nil {
		return m, torn, err
	}
	if err := v.freelist(); err != nil {
		return m, torn, err
	}
	for id, ok := range v.seen {
		if !ok {
			return m, torn, fmt.Errorf("page %d is neither used nor free", id)
		}
	}
	return m, torn, nil
}

// page reads a page with its overflow, marks it as seen and checks its header.
func (v *verifier) page(id uint64) ([]byte, error) {
	if id < 2 || id >= v.m.pages {
		return nil, fmt.Errorf("a pointer to page %d of %d", id, v.m.pages)
	}
	var head [pageHeader]byte
	at := int64(id) * int64(v.m.pageSize)
	if _, err := v.r.ReadAt(head[:], at); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if got := le.Uint64(head[:]); got != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, got)
	}
	over := uint64(le.Uint32(head[12:]))
	if over >= v.m.pages-id {
		return nil, fmt.Errorf("page %d has %d pages of overflow, beyond the end", id, over)
	}
	for i := id; i <= id+over; i++ {
		if v.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		v.seen[i] = true
	}
	b := make([]byte, (over+1)*uint64(v.m.pageSize))
	if _, err := v.r.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return b, nil
}

// tree walks the pages of a bucket ("" is the root bucket, which holds the others). All keys must be at
// least low and below high; nil means no bound.
func (v *verifier) tree(bucket string, id uint64, depth int, low, high []byte) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d is %d pages deep", id, depth)
	}
	b, err := v.page(id)
	if err != nil {
		return err
	}
	if err := v.elements(bucket, b, depth, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements walks what one page holds. b starts with the page's header.
func (v *verifier) elements(bucket string, b []byte, depth int, low, high []byte) error {
	flags, count := le.Uint16(b[8:]), int(le.Uint16(b[10:]))
	switch flags {
	case flagLeaf:
		var last []byte
		for i := range count {
			flags, key, value, err := leaf(b, i, count)
			if err != nil {
				return err
			}
			if err := inOrder(i, key, last, low, high); err != nil {
				return err
			}
			last = key
			switch {
			case flags == flagBucket && bucket == "":
				if err := v.bucket(string(key), value); err != nil {
					return err
				}
			case flags == 0 && bucket != "":
				if err := v.each(bucket, key, value); err != nil {
					return err
				}
			default:
				return fmt.Errorf("element %d has the flags %x", i, flags)
			}
		}
		return nil
	case flagBranch:
		if count == 0 {
			return errors.New("a branch without children")
		}
		_, next, err := branch(b, 0, count)
		if err != nil {
			return err
		}
		var last []byte
		for i := range count {
			key := next
			child := le.Uint64(b[pageHeader+i*branchElement+8:])
			if err := inOrder(i, key, last, low, high); err != nil {
				return err
			}
			last = key
			top := high
			if i+1 < count {
				if _, next, err = branch(b, i+1, count); err != nil {
					return err
				}
				top = next
			}
			if err := v.tree(bucket, child, depth+1, key, top); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("type %x where a branch or a leaf should be", flags)
}

// bucket walks a bucket from the value that stands for it in the root bucket.
func (v *verifier) bucket(name string, value []byte) error {
	if len(value) < bucketHeader {
		return fmt.Errorf("bucket %.40q has %d bytes", name, len(value))
	}
	if root := le.Uint64(value); root != 0 {
		return v.tree(name, root, 1, nil, nil)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || le.Uint16(inline[8:]) != flagLeaf {
		return fmt.Errorf("bucket %.40q is malformed", name)
	}
	if err := v.elements(name, inline, 1, nil, nil); err != nil {
		return fmt.Errorf("bucket %.40q: %w", name, err)
	}
	return nil
}

func inOrder(i int, key, last, low, high []byte) error {
	switch {
	case i > 0 && bytes.Compare(last, key) >= 0:
	case low != nil && bytes.Compare(key, low) < 0:
	case high != nil && bytes.Compare(key, high) >= 0:
	default:
		return nil
	}
	return fmt.Errorf("the key of element %d is out of order", i)
}

// branch returns the child and the key of element i of a branch page.
func branch(b []byte, i, count int) (child uint64, key []byte, err error) {
	at := pageHeader + i*branchElement
	if pageHeader+count*branchElement > len(b) {
		return 0, nil, fmt.Errorf("%d elements do not fit", count)
	}
	e := b[at:]
	key, err = span(b, count*branchElement, i, uint64(at)+uint64(le.Uint32(e)), le.Uint32(e[4:]))
	if err == nil && len(key) == 0 {
		err = fmt.Errorf("element %d has no key", i)
	}
	return le.Uint64(e[8:]), key, err
}

// leaf returns element i of a leaf page.
func leaf(b []byte, i, count int) (flags uint32, key, value []byte, err error) {
	at := pageHeader + i*leafElement
	if pageHeader+count*leafElement > len(b) {
		return 0, nil, nil, fmt.Errorf("%d elements do not fit", count)
	}
	e := b[at:]
	pos := uint64(at) + uint64(le.Uint32(e[4:]))
	if key, err = span(b, count*leafElement, i, pos, le.Uint32(e[8:])); err != nil {
		return 0, nil, nil, err
	}
	if len(key) == 0 {
		return 0, nil, nil, fmt.Errorf("element %d has no key", i)
	}
	value, err = span(b, count*leafElement, i, pos+uint64(len(key)), le.Uint32(e[12:]))
	return le.Uint32(e), key, value, err
}

// span cuts n bytes at pos out of a page, which must lie behind its table of elements.
func span(b []byte, table, i int, pos uint64, n uint32) ([]byte, error) {
	if pos < uint64(pageHeader+table) || pos+uint64(n) > uint64(len(b)) {
		return nil, fmt.Errorf("element %d lies at bytes %d to %d of %d", i, pos, pos+uint64(n), len(b))
	}
	return b[pos : pos+uint64(n) : pos+uint64(n)], nil
}

// freelist checks the list of free pages: sorted, within the file, and none of them in use. A used page
// on it would be overwritten by the next commit.
func (v *verifier) freelist() error {
	if v.m.freelist == math.MaxUint64 {
		return errors.New("it has no list of free pages, so another program has written it")
	}
	b, err := v.page(v.m.freelist)
	if err != nil {
		return fmt.Errorf("list of free pages: %w", err)
	}
	if got := le.Uint16(b[8:]); got != flagFreelist {
		return fmt.Errorf("list of free pages: type %x", got)
	}
	n, ids := uint64(le.Uint16(b[10:])), b[pageHeader:]
	if n == 0xFFFF {
		n, ids = le.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids))/8 {
		return fmt.Errorf("list of free pages: %d pages do not fit", n)
	}
	last := uint64(0)
	for i := range n {
		id := le.Uint64(ids[i*8:])
		if id <= last || id < 2 || id >= v.m.pages || v.seen[id] {
			return fmt.Errorf("list of free pages: page %d is not free", id)
		}
		v.seen[id] = true
		last = id
	}
	return nil
}
