package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Sighting is a checkpoint of a log as a peer keeps it.
type Sighting struct {
	By   string // the peer
	Key  string // the log's key, as the peer learned it
	Note []byte
}

// Problem is one thing that is not as it was signed.
type Problem struct {
	Record int64  // the first record that it may be about, and
	Last   int64  // the last one; the same where it is known exactly
	What   string // a sentence
}

// Verdicts on a peer's checkpoint.
const (
	Proved  = "proved"  // the log goes on from it
	Changed = "changed" // the log had other records then
	CutOff  = "cut off" // the log has fewer records than then
	TooOld  = "too old" // the records of then are deleted
	Foreign = "foreign" // it is of another key: the node has had another data directory since, or before
	Forged  = "forged"  // its signature is wrong
	Unknown = "unknown" // the log is damaged before it
)

// Compared is what came of a peer's checkpoint.
type Compared struct {
	By      string
	Size    int64
	At      int64 // Unix ms, of the checkpoint
	Verdict string
}

// Report is what Verify found.
type Report struct {
	Node       string
	Key        string
	From, Size int64 // records that are there and signed
	Root       tlog.Hash
	At         int64 // of the last checkpoint, Unix ms
	Segments   int
	Bytes      int64
	Heads      int // signed checkpoints in it
	Problems   []Problem
	Peers      []Compared
}

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// maxProblems bounds a report.
const maxProblems = 100

type verifier struct {
	dir    *Dir
	key    string
	report Report
	edge   edge
	seen   []sighted // not compared yet, by size
	signed int64     // records of the last good checkpoint
	good   int64     // records of the last peer's checkpoint that was proved
}

type sighted struct {
	Sighting
	Checkpoint
}

// Verify checks every byte of a log, against its own signatures and against the checkpoints that peers keep. key is the
// node's public key where it is known from elsewhere; else the one in the directory is believed. The error is of reading;
// what is wrong with the log is in the report, whose first problem names the first record that was changed.
func Verify(path, key string, seen []Sighting) (*Report, error) {
	v := &verifier{key: key}
	own, err := os.ReadFile(filepath.Join(path, keyName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	d, err := OpenDir(path)
	if errors.Is(err, ErrNoLog) && own == nil {
		return nil, err
	}
	if v.key == "" {
		v.key = strings.TrimSuffix(string(own), "\n")
	}
	if nv, kerr := newVerifier(v.key); kerr != nil {
		v.problem(0, 0, fmt.Sprintf("the file %q is not a public key", keyName))
		v.key = ""
	} else {
		v.report.Node, v.report.Key = nv.Name(), v.key
		if string(own) != v.key+"\n" {
			v.problem(0, 0, fmt.Sprintf("the file %q holds another key", keyName))
		}
	}
	switch {
	case errors.Is(err, ErrNoLog):
		d = &Dir{path: path}
	case errors.Is(err, errPrunedDamaged):
		v.problem(0, 0, err.Error())
		return &v.report, nil
	case err != nil:
		return nil, err
	}
	v.dir = d
	v.sort(seen)
	if err := v.walk(); err != nil {
		return nil, err
	}
	v.finish()
	return &v.report, nil
}

func (v *verifier) problem(first, last int64, what string) {
	if len(v.report.Problems) < maxProblems {
		v.report.Problems = append(v.report.Problems, Problem{first, max(first, last), what})
	}
}

// sort opens the peers' checkpoints.
func (v *verifier) sort(seen []Sighting) {
	for _, s := range seen {
		c, err := OpenCheckpoint(s.Note, s.Key)
		switch {
		case err != nil:
			v.compared(&sighted{s, c}, Forged)
		case s.Key != v.key:
			v.compared(&sighted{s, c}, Foreign)
		default:
			v.seen = append(v.seen, sighted{s, c})
		}
	}
	slices.SortStableFunc(v.seen, func(a, b sighted) int { return cmp.Compare(a.Size, b.Size) })
}

func (v *verifier) compared(s *sighted, verdict string) {
	v.report.Peers = append(v.report.Peers, Compared{s.By, s.Checkpoint.Size, s.Checkpoint.At, verdict})
}

// compare compares the checkpoints of peers that are of as many records as were read.
func (v *verifier) compare() {
	for len(v.seen) > 0 && v.seen[0].Size <= v.edge.size {
		s := &v.seen[0]
		v.seen = v.seen[1:]
		switch {
		case s.Size < v.edge.size: // only of deleted ones
			v.compared(s, TooOld)
		case s.Root == v.edge.root():
			v.compared(s, Proved)
			v.good = max(v.good, s.Size)
		default:
			v.compared(s, Changed)
			v.problem(v.good, s.Size-1, fmt.Sprintf("%s keeps a checkpoint of %d records, signed by this log, which had other records then", s.By, s.Size))
		}
	}
}

// walk reads all segments, up to the first that is damaged.
func (v *verifier) walk() error {
	if p := v.dir.pruned; p != nil {
		v.edge = p.edge()
		v.report.From, v.signed, v.good = p.Size, p.Size, p.Size
		if c, err := OpenCheckpoint([]byte(p.Checkpoint), v.key); err != nil || c.Size != p.Size || c.Root != v.edge.root() {
			v.problem(0, p.Size-1, "what is kept of the deleted segments is not what was signed")
			return nil
		}
		v.report.Size, v.report.Root = p.Size, v.edge.root()
	}
	v.compare()
	v.report.Segments = len(v.dir.segs)
	for i, s := range v.dir.segs {
		b, err := v.dir.read(s)
		if err != nil {
			return err
		}
		hashes, err := os.ReadFile(hashPath(v.dir.path, s.first))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		v.report.Bytes += int64(len(b)) + int64(len(hashes))
		if !v.segment(s, b, hashes, i == len(v.dir.segs)-1) {
			return nil
		}
	}
	return nil
}

// segment checks one segment. It returns false when what follows cannot be checked.
func (v *verifier) segment(s seg, b, hashes []byte, last bool) bool {
	name := segName(s.first) + segSuffix
	if s.first != v.edge.size {
		v.problem(v.edge.size, s.first-1, fmt.Sprintf("records %d to %d are missing: the next segment is %s", v.edge.size, s.first-1, name))
		return false
	}
	first, root, err := parseHead(b)
	if err != nil || first != s.first || root != v.edge.root() {
		v.problem(s.first, s.first, fmt.Sprintf("segment %s does not begin where the one before ends", name))
		return false
	}
	suspect := int64(-1) // the first record whose hash is not the one on file
	at, sealed, good, signed := headLen, false, headLen, 0
	for at < len(b) && !sealed {
		kind, payload, n, err := nextFrame(b[at:])
		if err != nil {
			break
		}
		at += n
		if kind == frameRecord {
			index := v.edge.size
			if _, err := Decode(payload); err != nil && suspect < 0 {
				suspect = index
			}
			v.edge.add(tlog.RecordHash(payload), func(h tlog.Hash) {
				if suspect < 0 && (len(hashes)-signed < len(h) || !bytes.Equal(hashes[signed:signed+len(h)], h[:])) {
					suspect = index
				}
				signed += len(h)
			})
			v.compare()
			continue
		}
		c, err := OpenCheckpoint(payload, v.key)
		switch {
		case err != nil:
			v.problem(max(v.signed, 0), v.edge.size, fmt.Sprintf("the checkpoint after record %d is not signed by the node's key", v.edge.size-1))
			return false
		case c.Size == v.edge.size && c.Root == v.edge.root() && suspect >= 0:
			v.problem(suspect, suspect, fmt.Sprintf("the hash of record %d on file was changed, or is missing; the record is what was signed", suspect))
			suspect = -1
		case c.Size != v.edge.size || c.Root != v.edge.root():
			if suspect >= 0 {
				v.problem(suspect, suspect, fmt.Sprintf("record %d was changed after it was signed", suspect))
			} else {
				v.problem(v.signed, v.edge.size-1, fmt.Sprintf("records %d to %d are not those that were signed", v.signed, v.edge.size-1))
			}
			return false
		}
		v.report.Heads++
		v.signed, good, sealed = c.Size, at, kind == frameSeal
		v.report.Size, v.report.Root, v.report.At = c.Size, c.Root, c.At
	}
	switch {
	case sealed && at == len(b) || last && at == len(b) && good == at:
	case suspect >= 0:
		v.problem(suspect, suspect, fmt.Sprintf("record %d was changed", suspect))
		return false
	default:
		v.problem(v.edge.size, v.edge.size, fmt.Sprintf("%d bytes from record %d on are damaged, or were not signed yet when the node ended: segment %s at byte %d", len(b)-good, v.edge.size, name, at))
		return false
	}
	if !sealed && !last {
		v.problem(v.edge.size, v.edge.size, fmt.Sprintf("segment %s has no end", name))
		return false
	}
	if signed != len(hashes) {
		v.problem(v.edge.size-1, v.edge.size-1, fmt.Sprintf("the hashes of segment %s have %d bytes, not %d", name, len(hashes), signed))
	}
	return true
}

// finish judges the checkpoints that were not reached.
func (v *verifier) finish() {
	damaged := len(v.report.Problems) > 0
	for i := range v.seen {
		s := &v.seen[i]
		if damaged {
			v.compared(s, Unknown)
			continue
		}
		v.compared(s, CutOff)
		v.problem(v.edge.size, s.Size-1, fmt.Sprintf("records %d to %d are gone: %s keeps a checkpoint of %d records, signed by this log", v.edge.size, s.Size-1, s.By, s.Size))
		damaged = true
	}
	slices.SortStableFunc(v.report.Problems, func(a, b Problem) int { return cmp.Compare(a.Record, b.Record) })
}

// KeyName is the name of the key that a log in a directory says it is signed with; "" if it does not.
func KeyName(path string) string {
	b, err := os.ReadFile(filepath.Join(path, keyName))
	if err != nil {
		return ""
	}
	v, err := newVerifier(strings.TrimSuffix(string(b), "\n"))
	if err != nil {
		return ""
	}
	return v.Name()
}
