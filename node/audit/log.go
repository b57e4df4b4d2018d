package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/swarmpurse/swarmpurse/node/identity"
)

// Options say where a log lies and how large it may become.
type Options struct {
	Dir string
	Key identity.Key

	// MaxBytes bounds the files, but for the segment that is being written. Default 256 MiB.
	MaxBytes int64
	// SegmentBytes is how large a segment becomes before it is sealed. Default 8 MiB, at most a quarter of MaxBytes.
	SegmentBytes int64

	open func(path string) (file, error) // tests: a disk that fails
}

const (
	DefaultMaxBytes     = 256 << 20
	defaultSegmentBytes = 8 << 20
	// MaxBatch bounds what one Append takes, in bytes of records.
	MaxBatch = 8 << 20
)

// file is what a log needs of an *os.File.
type file interface {
	io.WriterAt
	Sync() error
	Truncate(size int64) error
	Close() error
}

// ErrDamaged says that a log is not what was signed. The log is left as it was.
var ErrDamaged = errors.New("the audit log is damaged or was changed")

// Log appends to a log. One goroutine may call Append and Close; all else is safe for concurrent use.
type Log struct {
	o      Options
	signer note.Signer
	origin string

	// The writer's.
	edge   edge
	seg    file  // the segment that is being written; nil: the next batch begins one
	hash   file  // its hashes
	first  int64 // its first record
	bytes  int64 // of it that are signed and synced
	hashes int64 // bytes of its hashes
	dirty  bool  // a write failed: what is beyond bytes is not to be believed
	frames []byte
	stored []byte

	mu     sync.Mutex // guards all below
	head   []byte     // the signed checkpoint
	point  Checkpoint
	pruned *pruned
	segs   []seg // with the one that is being written
	full   error // why old segments could not be deleted; the next seal tries again
}

// Recovered says what Open found.
type Recovered struct {
	Cut     int64 // bytes of a batch that was not signed when the node ended, which are gone
	Rebuilt int   // files of hashes that were made anew from records
	Began   bool  // there was no log
}

// Open opens a log or begins one. What was written after the last signed checkpoint is dropped. ErrDamaged if the log does
// not go on from what was signed.
func Open(o Options) (*Log, Recovered, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	o.SegmentBytes = min(o.SegmentBytes, max(o.MaxBytes/4, 1))
	if o.open == nil {
		o.open = func(path string) (file, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode) }
	}
	l := &Log{o: o, signer: o.Key.Signer(), origin: o.Key.Signer().Name()}
	var rec Recovered
	if err := os.Mkdir(o.Dir, dirMode); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, rec, err
	} else if err == nil {
		if err := syncDir(filepath.Dir(o.Dir)); err != nil {
			return nil, rec, err
		}
	}
	d, err := OpenDir(o.Dir)
	switch {
	case errors.Is(err, ErrNoLog):
		rec.Began = true
		return l, rec, replaceFile(o.Dir, keyName, []byte(o.Key.Verifier()+"\n"))
	case err != nil:
		return nil, rec, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := l.recover(d, &rec); err != nil {
		l.close()
		return nil, rec, err
	}
	return l, rec, nil
}

// keyName is a file with the log's public key, for who reads the directory.
const keyName = "key"

// recover takes up what is on disk.
func (l *Log) recover(d *Dir, rec *Recovered) error {
	l.pruned = d.pruned
	if err := l.deletePruned(); err != nil {
		return err
	}
	for len(d.segs) > 0 {
		last := d.segs[len(d.segs)-1]
		b, err := d.read(last)
		if err != nil {
			return err
		}
		sealed := d.segs[:len(d.segs)-1]
		before := Dir{path: d.path, from: d.from, pruned: d.pruned, segs: sealed}
		if err := l.rebuild(&before, rec); err != nil {
			return err
		}
		e, err := readEdge(last.first, &before)
		if err != nil {
			return fmt.Errorf("%w: the tree of %d records: %w", ErrDamaged, last.first, err)
		}
		s := scanned{edge: e.clone()}
		first, root, err := parseHead(b)
		if err == nil {
			if first != last.first || root != e.root() {
				return fmt.Errorf("%w: segment %s does not begin where the one before ends", ErrDamaged, segPath(d.path, last.first))
			}
			s = scan(b, e, l.o.Key.Verifier())
		}
		if s.wrong || l.signedIn(b[s.good:], s.edge.size) {
			return fmt.Errorf("%w: segment %s: from record %d on it is not what was signed", ErrDamaged, segPath(d.path, last.first), s.edge.size)
		}
		if s.good == 0 { // its first batch was cut short
			rec.Cut += int64(len(b))
			if err := errors.Join(removeAny(segPath(d.path, last.first)), removeAny(hashPath(d.path, last.first))); err != nil {
				return err
			}
			d.segs = sealed
			continue
		}
		return l.resume(d, last, b, s, rec)
	}
	if d.pruned == nil { // nothing was ever signed
		rec.Began = true
		return replaceFile(l.o.Dir, keyName, []byte(l.o.Key.Verifier()+"\n"))
	}
	l.edge, l.head = d.pruned.edge(), []byte(d.pruned.Checkpoint)
	c, err := OpenCheckpoint(l.head, l.o.Key.Verifier())
	if err != nil || c.Root != l.edge.root() || c.Size != l.edge.size {
		return fmt.Errorf("%w: what is kept of deleted segments is not what was signed", ErrDamaged)
	}
	l.point = c
	return nil
}

// resume goes on in the last segment, from its last checkpoint.
func (l *Log) resume(d *Dir, last seg, b []byte, s scanned, rec *Recovered) error {
	rec.Cut += int64(len(b)) - int64(s.good)
	l.edge, l.head, l.point = s.edge, s.head, s.point
	l.segs = append([]seg(nil), d.segs...)
	l.segs[len(l.segs)-1] = seg{last.first, int64(s.good), l.edge.size}
	if err := l.openFiles(last.first); err != nil {
		return err
	}
	l.bytes = int64(s.good)
	if have, err := os.ReadFile(hashPath(d.path, last.first)); err != nil || !slices.Equal(have[:min(len(have), len(s.hashes))], s.hashes) {
		rec.Rebuilt++
		if _, err := l.hash.WriteAt(s.hashes, 0); err != nil {
			return err
		}
	}
	l.hashes = int64(len(s.hashes))
	l.dirty = len(b) > s.good
	if err := l.clean(); err != nil {
		return err
	}
	if s.sealed {
		return l.close()
	}
	return nil
}

// scanned is what the bytes of a segment hold.
type scanned struct {
	good   int // bytes up to the end of the last checkpoint
	head   []byte
	point  Checkpoint
	edge   edge   // then
	hashes []byte // then, of the segment's records
	sealed bool
	wrong  bool // a whole checkpoint is not that of the records before it
}

// scan reads a segment up to its last good checkpoint. before is the edge of the tree where it begins.
func scan(b []byte, before edge, verifier string) (s scanned) {
	e := before.clone()
	s.edge = e.clone()
	var hashes []byte
	for at := headLen; at < len(b); {
		kind, payload, n, err := nextFrame(b[at:])
		if err != nil || s.sealed {
			return s
		}
		at += n
		if kind == frameRecord {
			e.add(tlog.RecordHash(payload), func(h tlog.Hash) { hashes = append(hashes, h[:]...) })
			continue
		}
		c, err := OpenCheckpoint(payload, verifier)
		if err != nil || c.Size != e.size || c.Root != e.root() {
			s.wrong = true
			return s
		}
		s.good, s.head, s.point, s.edge, s.sealed = at, slices.Clone(payload), c, e.clone(), kind == frameSeal
		s.hashes = slices.Clone(hashes)
	}
	return s
}

// signedIn reports whether bytes hold a checkpoint of this log of more than size records: then they are no batch that was cut short.
func (l *Log) signedIn(b []byte, size int64) bool {
	for i := range b {
		if b[i] != frameHead && b[i] != frameSeal {
			continue
		}
		kind, payload, _, err := nextFrame(b[i:])
		if err != nil || kind == frameRecord {
			continue
		}
		if c, err := OpenCheckpoint(payload, l.o.Key.Verifier()); err == nil && c.Size > size {
			return true
		}
	}
	return false
}

// rebuild makes files of hashes anew that are not whole, which only a crash at the very end of a segment leaves so.
func (l *Log) rebuild(d *Dir, rec *Recovered) error {
	for i, s := range d.segs {
		end := s.end
		if i == len(d.segs)-1 && end < 0 {
			continue
		}
		want := (tlog.StoredHashCount(end) - tlog.StoredHashCount(s.first)) * tlog.HashSize
		if info, err := os.Stat(hashPath(d.path, s.first)); err == nil && info.Size() == want {
			continue
		}
		part := Dir{path: d.path, from: d.from, pruned: d.pruned, segs: d.segs[:i]}
		e, err := readEdge(s.first, &part)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		b, err := d.read(s)
		if err != nil {
			return err
		}
		sc := scan(b, e, l.o.Key.Verifier())
		if sc.edge.size != end {
			return fmt.Errorf("%w: segment %s has %d records, not %d", ErrDamaged, segPath(d.path, s.first), sc.edge.size-s.first, end-s.first)
		}
		if err := replaceFile(d.path, filepath.Base(hashPath(d.path, s.first)), sc.hashes); err != nil {
			return err
		}
		rec.Rebuilt++
	}
	return nil
}

func removeAny(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (l *Log) openFiles(first int64) (err error) {
	if l.seg, err = l.o.open(segPath(l.o.Dir, first)); err != nil {
		return err
	}
	if l.hash, err = l.o.open(hashPath(l.o.Dir, first)); err != nil {
		return err
	}
	l.first, l.bytes, l.hashes = first, 0, 0
	return nil
}

func (l *Log) close() (err error) {
	if l.seg != nil {
		err = l.seg.Close()
	}
	if l.hash != nil {
		err = errors.Join(err, l.hash.Close())
	}
	l.seg, l.hash = nil, nil
	return err
}

// Close lets go of the files. What was appended is on disk already.
func (l *Log) Close() error { return l.close() }

// clean cuts off what a write that failed may have left. What was synced before it is not touched.
func (l *Log) clean() error {
	if !l.dirty {
		return nil
	}
	if err := errors.Join(l.seg.Truncate(l.bytes), l.hash.Truncate(l.hashes)); err != nil {
		return err
	}
	if err := l.seg.Sync(); err != nil {
		return err
	}
	l.dirty = false
	return nil
}

// Append writes records, each as Append encoded it, and signs the head that they make. When it returns nil they are durable and
// the head may be told. After an error the log is as it was before, and the same batch may be tried again.
func (l *Log) Append(at int64, records [][]byte) (err error) {
	if len(records) == 0 {
		return nil
	}
	if l.seg == nil {
		if err := l.begin(); err != nil {
			return err
		}
	}
	if err := l.clean(); err != nil {
		return err
	}
	e := l.edge.clone()
	l.frames, l.stored = l.frames[:0], l.stored[:0]
	if l.bytes == 0 {
		l.frames = appendHead(l.frames, l.first, e.root())
	}
	for _, r := range records {
		if len(r) > MaxRecord {
			panic(fmt.Sprintf("BUG: a record of %d bytes", len(r)))
		}
		l.frames = appendFrame(l.frames, frameRecord, r)
		e.add(tlog.RecordHash(r), func(h tlog.Hash) { l.stored = append(l.stored, h[:]...) })
	}
	c := Checkpoint{Origin: l.origin, Size: e.size, Root: e.root(), At: max(at, l.point.At)}
	head, err := c.Sign(l.signer)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	kind := frameHead
	if l.bytes+int64(len(l.frames)) >= l.o.SegmentBytes {
		kind = frameSeal
	}
	l.frames = appendFrame(l.frames, kind, head)
	l.dirty = true
	if _, err := l.seg.WriteAt(l.frames, l.bytes); err != nil {
		return err
	}
	if _, err := l.hash.WriteAt(l.stored, l.hashes); err != nil { // made anew from the records if a crash takes it
		return err
	}
	if kind == frameSeal {
		if err := l.hash.Sync(); err != nil {
			return err
		}
	}
	if err := l.seg.Sync(); err != nil {
		return err
	}
	l.dirty, l.edge = false, e
	l.bytes += int64(len(l.frames))
	l.hashes += int64(len(l.stored))
	l.mu.Lock()
	l.head, l.point = head, c
	l.segs[len(l.segs)-1] = seg{l.first, l.bytes, e.size}
	l.mu.Unlock()
	if kind == frameSeal {
		err := errors.Join(l.close(), l.prune()) // the batch is durable whatever comes of it
		l.mu.Lock()
		l.full = err
		l.mu.Unlock()
	}
	return nil
}

// begin makes the files of the next segment.
func (l *Log) begin() error {
	if err := l.openFiles(l.edge.size); err != nil {
		l.close()
		return err
	}
	err := errors.Join(l.seg.Truncate(0), l.hash.Truncate(0))
	if err == nil {
		err = syncDir(l.o.Dir)
	}
	if err != nil {
		l.close()
		return err
	}
	l.mu.Lock()
	if n := len(l.segs); n == 0 || l.segs[n-1].first != l.first {
		l.segs = append(l.segs, seg{l.first, 0, l.first})
	}
	l.mu.Unlock()
	return nil
}

// prune deletes the oldest segments until the rest is within the bound.
func (l *Log) prune() error {
	l.mu.Lock()
	segs, p := l.segs, l.pruned
	l.mu.Unlock()
	var sum int64
	for _, s := range segs {
		sum += size(s)
	}
	n := 0
	for ; n < len(segs)-1 && sum > l.o.MaxBytes; n++ {
		sum -= size(segs[n])
	}
	if n == 0 {
		return nil
	}
	d := &Dir{path: l.o.Dir, pruned: p, segs: segs}
	end := segs[n-1].end
	e, err := readEdge(end, d)
	if err != nil {
		return err
	}
	head, err := d.seal(segs[n-1])
	if err != nil {
		return err
	}
	p = &pruned{About: aboutPruned, Size: end, Edge: e.stack, Checkpoint: string(head)}
	// Durable before anything is deleted: a crash in between leaves segments that Open deletes.
	if err := replaceFile(l.o.Dir, prunedName, p.encode()); err != nil {
		return err
	}
	l.mu.Lock()
	l.pruned, l.segs = p, slices.Clone(segs[n:])
	l.mu.Unlock()
	return l.deletePruned()
}

func size(s seg) int64 {
	return s.bytes + (tlog.StoredHashCount(s.end)-tlog.StoredHashCount(s.first))*tlog.HashSize
}

// deletePruned deletes the segments that are noted as deleted.
func (l *Log) deletePruned() error {
	if l.pruned == nil {
		return nil
	}
	entries, err := os.ReadDir(l.o.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if first, ok := firstOf(e.Name()); ok && first < l.pruned.Size {
			err = errors.Join(err, removeAny(hashPath(l.o.Dir, first)), removeAny(segPath(l.o.Dir, first)))
		}
	}
	return err
}

// Head is the signed checkpoint, and what it says. nil of an empty log.
func (l *Log) Head() ([]byte, Checkpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head, l.point
}

// Dir is the log as it is now, for reading.
func (l *Log) Dir() *Dir {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &Dir{path: l.o.Dir, pruned: l.pruned, segs: slices.Clone(l.segs)}
	if l.pruned != nil {
		d.from = l.pruned.Size
	}
	return d
}

// Usage is what is on disk.
type Usage struct {
	From, Size int64 // records
	Segments   int
	Bytes      int64
	Max        int64
	Err        error // why old segments could not be deleted
}

// Usage tells what is on disk.
func (l *Log) Usage() Usage {
	d := l.Dir()
	_, c := l.Head()
	l.mu.Lock()
	full := l.full
	l.mu.Unlock()
	u := Usage{Err: full, From: d.from, Size: c.Size, Segments: len(d.segs), Max: l.o.MaxBytes}
	for _, s := range d.segs {
		u.Bytes += size(s)
	}
	return u
}
