package explore

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// print128 tells states apart: 128 bits of a SHA-256. With 10^7 states the chance that any two share one is 10^-25.
type print128 [2]uint64

// encoder writes all that decides what a value does next into one canonical string of bytes. It works by reflection
// over all fields, exported or not, so it cannot forget one that is added later: what is not encoded is named in
// ignored, with the reason, and a kind that it does not know is a panic. TestFingerprint holds it to that.
//
//   - Pointers are numbered in the order in which they are met, so that equal graphs at other addresses are equal.
//   - Maps are written in the order of their encoded keys.
//   - Functions cannot be compared. The only ones that matter are the changes that wait for the disk, and those are
//     told apart by how they came about (see node.chain).
type encoder struct {
	buf    []byte
	seen   map[address]int
	rename map[string]string // names of nodes, for symmetry
	shapes *shapes

	changes int // that wait for the disk, among what was written
}

// address is what a pointer points to: a struct and its first field lie at one place.
type address struct {
	at   uintptr
	what reflect.Type
}

// ignored are fields that decide nothing, by type and name, with the reason.
var ignored = map[string]string{
	"ledger.Replica.cfg":      "given by the scope; its dice are thrown at the start only",
	"ledger.Replica.peers":    "always the whole swarm",
	"ledger.Replica.scratch":  "overwritten before every use",
	"ledger.Replica.dice":     "as cfg",
	"ledger.Replica.near":     "found again by its id",
	"ledger.instance.sums":    "follows from the rows",
	"ledger.instance.lookAt":  "counts in swarms of more than a hundred",
	"ledger.Replica.last":     "what the driver had to do is done; only its memory is used again",
	"ledger.batch.events":     "tells what happened; nothing depends on it",
	"ledger.batch.news":       "counts for metrics",
	"ledger.batch.stale":      "counts for metrics",
	"ledger.guards.gone":      "keeps rows away, which do not travel where generations are claimed; no scope waits until the heir is asked",
	"ledger.guards.gains":     "counts for metrics",
	"guardian.Machine.counts": "counts for metrics",
	"guardian.Machine.quiet":  "follows from what is known of guardians",
	"guardian.Machine.ends":   "follows from the wards",
	"guardian.ward.sorted":    "follows from the records",
	"guardian.ward.bytes":     "follows from the records",
	"guardian.owner.renewed":  "for people",
	"ledger.Account.notify":   "always the same: puts the account on the owner's list",
	"ledger.change.apply":     "a function: told apart by how it came about",
	"ledger.change.then":      "a function: told apart by how it came about",
	"judge.Book.Pairs":        "follows from the replica's memory; extra has it of what is forgotten",
	"judge.Book.Disk":         "follows from the disk; extra has it of what is forgotten",
}

// sets are lists whose order decides nothing, with the reason. After a restart it follows the names of nodes, which
// would keep mirror images apart.
var sets = map[string]string{
	"ledger.Replica.unacked": "all are told again in one tick, up to 256",
	"ledger.batch.edges":     "all are written in one transaction",
}

// signals are the fields behind demand. Strategies look at them, and here no strategy does; apart from that they only
// size the chunk by which a mark runs ahead, where 16 mean calls outweigh them as long as a path has fewer than 16
// calls, and keep an instance on the list of active ones, where it is anyhow while its row is unsent.
var signals = []string{"ledger.Account.asked", "ledger.Account.refused", "ledger.Account.demand", "ledger.Account.unmet",
	"ledger.Account.given", "ledger.Account.lending"}

// versions count rows: without rows on the network they decide nothing.
var versions = []string{"ledger.Replica.version", "ledger.Replica.versionMark", "ledger.Replica.versionNext"}

func fieldName(t reflect.Type, i int) string { return t.String() + "." + t.Field(i).Name }

// encoder has nothing written yet. Its sum ends its use: the memory serves the next one.
func (s *shapes) encoder(rename map[string]string) *encoder {
	e := &encoder{seen: map[address]int{}, shapes: s}
	if n := len(s.spare); n > 0 {
		e, s.spare = s.spare[n-1], s.spare[:n-1]
		clear(e.seen)
		e.buf, e.changes = e.buf[:0], 0
	}
	e.rename = rename
	return e
}

func (e *encoder) uint(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }

func (e *encoder) str(s string) {
	if to, ok := e.rename[s]; ok {
		s = to
	}
	e.uint(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			e.buf = append(e.buf, 1)
		} else {
			e.buf = append(e.buf, 0)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.buf = binary.AppendVarint(e.buf, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		e.uint(v.Uint())
	case reflect.Float32, reflect.Float64:
		e.uint(math.Float64bits(v.Float()))
	case reflect.String:
		e.str(v.String())
	case reflect.Pointer:
		e.pointer(v)
	case reflect.Interface:
		if v.IsNil() {
			e.str("")
			return
		}
		e.str(v.Elem().Type().String())
		e.value(v.Elem())
	case reflect.Slice, reflect.Array: // nil and empty are the same
		e.uint(uint64(v.Len()))
		for i := range v.Len() {
			e.value(v.Index(i))
		}
	case reflect.Map:
		e.dict(v)
	case reflect.Struct:
		e.fields(v)
	default:
		panic(fmt.Sprintf("BUG: the fingerprint does not know how to tell values of %v apart: teach it, or name the field in ignored", v.Type()))
	}
}

func (e *encoder) pointer(v reflect.Value) {
	if v.IsNil() {
		e.uint(0)
		return
	}
	at := address{v.Pointer(), v.Type()}
	if n, ok := e.seen[at]; ok {
		e.uint(uint64(n))
		return
	}
	n := len(e.seen) + 1
	e.seen[at] = n
	e.uint(uint64(n))
	e.value(v.Elem())
}

func (e *encoder) dict(v reflect.Value) {
	if v.IsNil() {
		e.buf = append(e.buf, 0)
		return
	}
	e.buf = append(e.buf, 1)
	e.uint(uint64(v.Len()))
	type pair struct {
		key string
		val reflect.Value
	}
	pairs := make([]pair, 0, v.Len())
	start := len(e.buf)
	for it := v.MapRange(); it.Next(); {
		e.value(it.Key())
		pairs = append(pairs, pair{string(e.buf[start:]), it.Value()})
		e.buf = e.buf[:start]
	}
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	for _, p := range pairs {
		e.buf = append(e.buf, p.key...)
		e.value(p.val)
	}
}

func (e *encoder) fields(v reflect.Value) {
	sh := e.shapes.of(v.Type())
	if sh.change {
		e.changes++
	}
	for _, i := range sh.fields {
		e.value(v.Field(i))
	}
	for _, i := range sh.sets {
		e.set(v.Field(i))
	}
}

// set writes a list without regard to its order. Its elements are pointers that nothing else has.
func (e *encoder) set(v reflect.Value) {
	e.uint(uint64(v.Len()))
	elems := make([]string, v.Len())
	start := len(e.buf)
	for i := range elems {
		if el := v.Index(i); !el.IsNil() {
			e.value(el.Elem())
		}
		elems[i] = string(e.buf[start:])
		e.buf = e.buf[:start]
	}
	slices.Sort(elems)
	for _, s := range elems {
		e.buf = append(e.buf, s...)
	}
}

// shapes keeps what of each struct type is encoded.
type shapes struct {
	skip  map[string]bool // beside ignored
	known map[reflect.Type]shape
	spare []*encoder // that are not in use
}

type shape struct {
	fields, sets []int
	change       bool // it is a change that waits for the disk
}

func newShapes(skip ...[]string) *shapes {
	s := &shapes{skip: map[string]bool{}, known: map[reflect.Type]shape{}}
	for _, names := range skip {
		for _, name := range names {
			s.skip[name] = true
		}
	}
	return s
}

func (s *shapes) of(t reflect.Type) shape {
	sh, ok := s.known[t]
	if ok {
		return sh
	}
	sh.change = t.String() == "ledger.change"
	for i := range t.NumField() {
		switch name := fieldName(t, i); {
		case t.Field(i).Name == "_" || ignored[name] != "" || s.skip[name]:
		case sets[name] != "":
			sh.sets = append(sh.sets, i)
		default:
			sh.fields = append(sh.fields, i)
		}
	}
	s.known[t] = sh
	return sh
}

// sum is the fingerprint of what was written since the start. The encoder is not used after it.
func (e *encoder) sum() print128 {
	h := sha256.Sum256(e.buf)
	e.shapes.spare = append(e.shapes.spare, e)
	return print128{binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:16])}
}
