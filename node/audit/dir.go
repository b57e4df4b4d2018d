package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Dir reads the files of a log: those of a stopped node, or those of a running one as they were when it was made. Safe for
// concurrent use.
type Dir struct {
	path   string
	from   int64 // the first record that is there
	pruned *pruned
	segs   []seg
}

// seg is one segment as a Dir knows it.
type seg struct {
	first int64
	bytes int64 // of the file that may be read
	end   int64 // the first record of the next one; of the last: records that were signed, -1 if nobody knows
}

// OpenDir lists a log's files; it checks none of them. ErrNoLog if there are none.
func OpenDir(path string) (*Dir, error) {
	d := &Dir{path: path}
	var err error
	if d.pruned, err = readPruned(path); err != nil {
		return nil, err
	}
	if d.pruned != nil {
		d.from = d.pruned.Size
	}
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNoLog, path)
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		first, ok := firstOf(e.Name())
		if !ok || first < d.from { // it was being deleted
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		d.segs = append(d.segs, seg{first, info.Size(), -1})
	}
	slices.SortFunc(d.segs, func(a, b seg) int { return int(min(max(a.first-b.first, -1), 1)) })
	for i := range d.segs {
		if i > 0 {
			d.segs[i-1].end = d.segs[i].first
		}
	}
	if len(d.segs) == 0 && d.pruned == nil {
		return nil, fmt.Errorf("%w in %s", ErrNoLog, path)
	}
	return d, nil
}

// ErrNoLog says that there is no audit log.
var ErrNoLog = errors.New("no audit log")

// read returns what of a segment may be read.
func (d *Dir) read(s seg) ([]byte, error) {
	f, err := os.Open(segPath(d.path, s.first))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, s.bytes)
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// seal reads the checkpoint that ends a sealed segment, from its end.
func (d *Dir) seal(s seg) ([]byte, error) {
	f, err := os.Open(segPath(d.path, s.first))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, min(s.bytes, MaxNote+frameExtra))
	if _, err := f.ReadAt(b, s.bytes-int64(len(b))); err != nil {
		return nil, err
	}
	for i := range b {
		if b[i] != frameSeal {
			continue
		}
		if _, payload, n, err := nextFrame(b[i:]); err == nil && n == len(b)-i {
			return payload, nil
		}
	}
	return nil, fmt.Errorf("segment %s has no checkpoint at its end: %w", segPath(d.path, s.first), errFrame)
}

// Entry is a record with its place.
type Entry struct {
	Index  int64
	Hash   tlog.Hash
	Record Record
	Raw    []byte // only valid in the call that it is given to
}

// Each gives fn the records from the from-th on until it says false. Those that this version cannot read are given with
// Kind 0. It trusts the files: see Verify.
func (d *Dir) Each(from int64, fn func(*Entry) bool) error {
	for i, s := range d.segs {
		if i+1 < len(d.segs) && d.segs[i+1].first <= from {
			continue
		}
		b, err := d.read(s)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		stop, err := eachIn(b, s.first, from, fn)
		if err != nil {
			return fmt.Errorf("%s: %w", segPath(d.path, s.first), err)
		}
		if stop {
			return nil
		}
	}
	return nil
}

func eachIn(b []byte, first, from int64, fn func(*Entry) bool) (stop bool, err error) {
	if len(b) < headLen {
		return false, nil
	}
	at, index := headLen, first
	for at < len(b) {
		kind, payload, n, err := nextFrame(b[at:])
		if err != nil {
			return false, fmt.Errorf("record %d: %w: see audit verify", index, err)
		}
		at += n
		if kind != frameRecord {
			continue
		}
		if index >= from {
			e := Entry{Index: index, Raw: payload}
			e.Record, _ = Decode(payload)
			if !fn(&e) {
				return true, nil
			}
		}
		index++
	}
	return false, nil
}

// Back gives fn the records from the last to the first until it says false.
func (d *Dir) Back(fn func(*Entry) bool) error {
	for _, s := range slices.Backward(d.segs) {
		b, err := d.read(s)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var at [][2]int // where each record is
		for i := headLen; i < len(b); {
			kind, payload, n, err := nextFrame(b[i:])
			if err != nil {
				break // not signed yet, or damaged: Verify tells
			}
			if kind == frameRecord {
				at = append(at, [2]int{i + 5, i + 5 + len(payload)})
			}
			i += n
		}
		for i, p := range slices.Backward(at) {
			e := Entry{Index: s.first + int64(i), Raw: b[p[0]:p[1]]}
			e.Record, _ = Decode(e.Raw)
			if !fn(&e) {
				return nil
			}
		}
	}
	return nil
}

// ReadHashes reads hashes of the tree by tlog.StoredHashIndex: of what is kept, and of the edge of what was deleted.
func (d *Dir) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	files := map[int64]*os.File{}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for i, x := range indexes {
		s, ok := d.holds(x)
		if !ok {
			h, err := d.edgeHash(x)
			if err != nil {
				return nil, err
			}
			out[i] = h
			continue
		}
		f := files[s.first]
		if f == nil {
			var err error
			if f, err = os.Open(hashPath(d.path, s.first)); err != nil {
				return nil, err
			}
			files[s.first] = f
		}
		if _, err := f.ReadAt(out[i][:], (x-tlog.StoredHashCount(s.first))*tlog.HashSize); err != nil {
			return nil, fmt.Errorf("hash %d: %w", x, err)
		}
	}
	return out, nil
}

// holds finds the segment whose hashes a stored hash is among.
func (d *Dir) holds(x int64) (seg, bool) {
	for _, s := range slices.Backward(d.segs) {
		if x >= tlog.StoredHashCount(s.first) {
			return s, true
		}
	}
	return seg{}, false
}

var errPruned = errors.New("it is of records that were deleted")

func (d *Dir) edgeHash(x int64) (tlog.Hash, error) {
	if d.pruned != nil {
		if i := slices.Index(edgeIndexes(d.pruned.Size), x); i >= 0 {
			return d.pruned.Edge[i], nil
		}
	}
	return tlog.Hash{}, fmt.Errorf("hash %d: %w", x, errPruned)
}
