package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/swarmpurse/swarmpurse/node/identity"
)

// Bounds of what a witness keeps.
const (
	maxLogs      = 4096 // of all nodes; beyond it the one that was heard of longest ago is forgotten
	maxLogsOf    = 4    // of one node: each of its data directories has a log
	maxSightings = 16   // of one log: the latest, and some of before
	maxAlarms    = 64
	maxProof     = 64 // hashes
	maxVerifier  = 512
)

// Told is what a node tells of its log: a checkpoint, and the proof that it goes on from what the witness knows.
type Told struct {
	Node  string
	Key   string // the log's
	Note  []byte
	From  int64 // the size that Proof begins at; 0: there is none
	Proof []tlog.Hash
	Gone  bool // the log has deleted too much to prove anything of what the witness knows
}

// Answer is what a witness says to it.
type Answer struct {
	// Note is the latest checkpoint that the witness has of that log, countersigned; of a log that it disputes, the one that it knew.
	Note []byte
	Key  string // the witness's
	Want bool   // the proof does not begin at Note: send one that does
	// Disputed says that Note and what was told cannot both be of one log.
	Disputed bool
}

// Dispute is what shows that a log was changed.
type Dispute struct {
	At   int64  `json:"at"` // Unix ms
	Of   string `json:"of"` // the node whose log it is about
	By   string `json:"by"`
	Kind string `json:"kind"`
	What string `json:"what"`
	// What proves it: two checkpoints that one key has signed.
	Notes []string `json:"notes,omitempty"`
}

// Kinds of alarms.
const (
	Fork     = "fork"     // two logs of one key
	Rollback = "rollback" // a log with fewer records than it had
)

// known is what a witness keeps of one log.
type known struct {
	Node  string   `json:"node"`
	Key   string   `json:"key"`
	Heard int64    `json:"heard"` // Unix ms
	Notes []string `json:"notes"` // countersigned, by size; the last is the latest
}

// Witness keeps checkpoints of peers' logs, and refuses one that does not go on from those. Not safe for concurrent use.
type Witness struct {
	self   string
	key    identity.Key
	signer note.Signer
	dir    string // "": in memory
	logs   []*known
	alarms []Dispute
	news   bool // not on disk yet
}

// witnessName is the file of what a witness keeps, beside its own log.
const witnessName = "witnessed.json"

type witnessed struct {
	About  string    `json:"about"`
	Logs   []*known  `json:"logs"`
	Alarms []Dispute `json:"alarms"`
}

const aboutWitnessed = "checkpoints of peers' audit logs, which this node has countersigned"

// OpenWitness takes up what a directory has; "" keeps all in memory. What is damaged is left out and told in lost: it only
// proves less.
func OpenWitness(self string, key identity.Key, dir string) (w *Witness, lost error, err error) {
	w = &Witness{self: self, key: key, signer: key.Signer(), dir: dir}
	if dir == "" {
		return w, nil, nil
	}
	b, err := os.ReadFile(filepath.Join(dir, witnessName))
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var all witnessed
	if err := json.Unmarshal(b, &all); err != nil {
		return w, fmt.Errorf("%s: %w", witnessName, err), nil
	}
	for _, k := range all.Logs {
		if k == nil || len(k.Notes) == 0 || len(w.logs) >= maxLogs {
			continue
		}
		size := int64(-1)
		ok := true
		for _, n := range k.Notes {
			c, err := OpenCheckpoint([]byte(n), k.Key)
			ok = ok && err == nil && c.Size > size
			size = c.Size
		}
		if !ok {
			lost = fmt.Errorf("%s: what it has of the log of %.80q is damaged", witnessName, k.Node)
			continue
		}
		k.Notes = k.Notes[max(0, len(k.Notes)-maxSightings):]
		w.logs = append(w.logs, k)
	}
	w.alarms = all.Alarms[max(0, len(all.Alarms)-maxAlarms):]
	return w, lost, nil
}

// Save makes durable what Receive took in. A witness answers only after it.
func (w *Witness) Save() error {
	if w.dir == "" || !w.news {
		return nil
	}
	b, err := json.MarshalIndent(witnessed{aboutWitnessed, w.logs, w.alarms}, "", " ")
	if err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	if err := replaceFile(w.dir, witnessName, b); err != nil {
		return err
	}
	w.news = false
	return nil
}

// Receive takes in what a node tells of its log, and returns the answer; alarm is not nil if it shows that the log was
// changed, began if this is a log of that node that was not known. An error says that it is nothing that a node would send.
func (w *Witness) Receive(at int64, t *Told) (a Answer, alarm *Dispute, began bool, err error) {
	a.Key = w.key.Verifier()
	if t.Node == "" || len(t.Key) > maxVerifier || len(t.Proof) > maxProof {
		return a, nil, false, fmt.Errorf("%w: a checkpoint with a key of %d bytes and %d hashes", ErrMalformed, len(t.Key), len(t.Proof))
	}
	c, err := OpenCheckpoint(t.Note, t.Key)
	if err != nil {
		return a, nil, false, err
	}
	if c.Origin != identity.Name(t.Node) {
		return a, nil, false, fmt.Errorf("%w: a checkpoint of %.80q from %.80q", ErrSignature, c.Origin, t.Node)
	}
	k := w.find(t.Node, t.Key)
	if k == nil {
		k = w.begin(t.Node, t.Key)
		began = true
	} else {
		last := k.Notes[len(k.Notes)-1]
		old, err := OpenCheckpoint([]byte(last), k.Key)
		if err != nil {
			panic(fmt.Sprintf("BUG: a checkpoint that was checked: %v", err))
		}
		a.Note = []byte(last)
		switch {
		case c.Size < old.Size && c.At <= old.At:
			return a, nil, false, nil // an older one, late: a log's times never go back
		case c.Size < old.Size:
			a.Disputed = true
			return a, w.alarm(at, k, Rollback, fmt.Sprintf("it has %d records, and had signed %d before", c.Size, old.Size), last, string(t.Note)), false, nil
		case c.Size == old.Size && c.Root == old.Root:
			k.Heard, w.news = at, true
			return a, nil, false, nil
		case c.Size == old.Size:
			a.Disputed = true
			return a, w.alarm(at, k, Fork, fmt.Sprintf("two logs of %d records are signed", c.Size), last, string(t.Note)), false, nil
		case old.Size == 0:
		case t.Gone:
			// It cannot be proved, and is taken as it is: who verifies sees the gap.
		case t.From != old.Size:
			a.Want = true
			return a, nil, false, nil
		case tlog.CheckTree(t.Proof, c.Size, c.Root, old.Size, old.Root) != nil:
			a.Disputed = true
			return a, w.alarm(at, k, Fork, fmt.Sprintf("its %d records do not begin with the %d that it had signed", c.Size, old.Size), last, string(t.Note)), false, nil
		}
	}
	signed, err := Cosign(t.Note, t.Key, w.signer)
	if err != nil {
		return a, nil, false, err
	}
	if len(signed) > MaxNote {
		return a, nil, false, fmt.Errorf("%w: a checkpoint of %d bytes", ErrMalformed, len(signed))
	}
	k.add(string(signed))
	k.Heard, w.news = at, true
	a.Note = signed
	return a, nil, began, nil
}

// add keeps a checkpoint. Of older ones those are dropped that stand closest, so that what is left spans the log's life.
func (k *known) add(n string) {
	k.Notes = append(k.Notes, n)
	if len(k.Notes) <= maxSightings {
		return
	}
	sizes := make([]int64, len(k.Notes))
	for i, n := range k.Notes {
		c, _ := OpenCheckpoint([]byte(n), k.Key)
		sizes[i] = c.Size
	}
	// The one whose loss leaves the smallest gap for its age goes; never the first or the last.
	drop, least := 1, -1.0
	last := sizes[len(sizes)-1]
	for i := 1; i < len(sizes)-1; i++ {
		if gap := float64(sizes[i+1]-sizes[i-1]) / float64(last-sizes[i]+1); least < 0 || gap < least {
			drop, least = i, gap
		}
	}
	k.Notes = slices.Delete(k.Notes, drop, drop+1)
}

func (w *Witness) find(node, key string) *known {
	for _, k := range w.logs {
		if k.Node == node && k.Key == key {
			return k
		}
	}
	return nil
}

// begin makes room for a log that was not known.
func (w *Witness) begin(node, key string) *known {
	oldest := func(of string) int {
		at := -1
		for i, k := range w.logs {
			if (of == "" || k.Node == of) && (at < 0 || k.Heard < w.logs[at].Heard) {
				at = i
			}
		}
		return at
	}
	n := 0
	for _, k := range w.logs {
		if k.Node == node {
			n++
		}
	}
	switch {
	case n >= maxLogsOf:
		i := oldest(node)
		w.logs = slices.Delete(w.logs, i, i+1)
	case len(w.logs) >= maxLogs:
		i := oldest("")
		w.logs = slices.Delete(w.logs, i, i+1)
	}
	k := &known{Node: node, Key: key}
	w.logs = append(w.logs, k)
	return k
}

// alarm keeps an alarm; nil if it was raised before.
func (w *Witness) alarm(at int64, k *known, kind, what string, notes ...string) *Dispute {
	for _, a := range w.alarms {
		if a.Of == k.Node && a.Kind == kind && len(a.Notes) > 0 && a.Notes[0] == notes[0] {
			return nil
		}
	}
	a := Dispute{At: at, Of: k.Node, By: w.self, Kind: kind, What: what, Notes: notes}
	w.alarms = append(w.alarms[max(0, len(w.alarms)-maxAlarms+1):], a)
	w.news = true
	return &a
}

// Disputed takes in that a peer disputes this node's own log: old is the checkpoint that the peer knows, signed with this node's
// key. It returns nil if that is no proof, or known.
func (w *Witness) Disputed(at int64, self, by string, old, now []byte) *Dispute {
	c, err := OpenCheckpoint(old, w.key.Verifier())
	if err != nil {
		return nil
	}
	for _, a := range w.alarms {
		if a.Of == self && a.By == by {
			return nil
		}
	}
	a := Dispute{
		At: at, Of: self, By: by, Kind: Rollback, Notes: []string{string(old), string(now)},
		What: fmt.Sprintf("this log does not go on from the %d records that it had signed: it was changed, or put back to an older copy", c.Size),
	}
	w.alarms = append(w.alarms[max(0, len(w.alarms)-maxAlarms+1):], a)
	w.news = true
	return &a
}

// Sightings gives what is kept of the logs of a node, "" of all.
func (w *Witness) Sightings(of string) (all []Kept) {
	for _, k := range w.logs {
		if of != "" && k.Node != of {
			continue
		}
		for _, n := range k.Notes {
			c, _ := OpenCheckpoint([]byte(n), k.Key)
			all = append(all, Kept{Of: k.Node, Key: k.Key, Note: n, Checkpoint: c})
		}
	}
	return all
}

// Kept is a checkpoint of a peer's log.
type Kept struct {
	Of, Key, Note string
	Checkpoint    Checkpoint
}

// Alarms gives all alarms, oldest first.
func (w *Witness) Alarms() []Dispute { return slices.Clone(w.alarms) }

// Countersigned reports whether a witness of that key has signed a checkpoint of this log.
func Countersigned(msg []byte, log, witness string) (Checkpoint, bool) {
	c, err := OpenCheckpoint(msg, log)
	if err != nil || len(witness) > maxVerifier {
		return c, false
	}
	v, err := newVerifier(witness)
	if err != nil || bytes.Equal([]byte(witness), []byte(log)) {
		return c, false
	}
	_, err = note.Open(msg, note.VerifierList(v))
	return c, err == nil && strings.HasPrefix(witness, v.Name()+"+")
}
