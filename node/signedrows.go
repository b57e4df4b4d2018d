package node

import (
	"fmt"
	"math"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// Rows as their holders signed them: a row for each that the ledger has, so that they can be told on.

// signedRow is a row as its holder signed it.
type signedRow struct {
	rows *seal.Rows
	at   int // in rows
}

type rowKey struct {
	holder   ledger.Holder
	instance ledger.InstanceID
}

type keptRow struct {
	signedRow
	version uint64
}

// signed is what of it the loop keeps: a row for each that the ledger has.
type signed struct {
	rows   map[rowKey]keptRow
	newest map[ledger.Holder]keptRow // by version: to prove to a holder what it has said
	most   int                       // at which rows that the ledger has forgotten are looked for

	own, proved uint64 // versions of this node's rows that it has signed in this run, and that a peer has shown to it
	of          ledger.Holder
	// unsure: this node's directory is from before this run, and no peer has told yet which rows of it that knows. If an older copy of
	// the directory was put back, a row that is written now may have the number of one that was: the rows are kept until a peer has answered.
	unsure bool
	since  ledger.Instant // from when on peers were there to answer; 0: they are not yet
	held   map[rowKey]ledger.Spread
	first  uint64 // version of the first row of this run that was kept

	doubted map[string]ledger.Instant // peers that were asked for a proof, and when
	shown   map[string]ledger.Instant // peers that were shown one
}

const leastSigned = 4096

// newSigned is empty.
func newSigned() signed {
	return signed{rows: map[rowKey]keptRow{}, newest: map[ledger.Holder]keptRow{}, doubted: map[string]ledger.Instant{}, shown: map[string]ledger.Instant{}, held: map[rowKey]ledger.Spread{}}
}

func (s *signed) keep(k rowKey, version uint64, r signedRow) {
	if old, ok := s.rows[k]; ok && old.version >= version {
		return
	}
	s.rows[k] = keptRow{r, version}
	if s.newest[k.holder].version <= version {
		s.newest[k.holder] = keptRow{r, version}
	}
}

// sweepSigned forgets rows that the ledger has forgotten.
func (n *Node) sweepSigned(now ledger.Instant) {
	s := &n.signed
	if len(s.rows) <= max(s.most, leastSigned) {
		return
	}
	rows := make(map[rowKey]keptRow, len(s.rows)/2)
	newest := make(map[ledger.Holder]keptRow, len(s.newest))
	for _, id := range n.replica.Instances() {
		for _, k := range n.replica.Rows(now, id) {
			key := rowKey{k.Holder, id}
			r, ok := s.rows[key]
			if !ok {
				continue
			}
			rows[key] = r
			if newest[k.Holder].version <= r.version {
				newest[k.Holder] = r
			}
		}
	}
	s.rows, s.newest, s.most = rows, newest, 2*len(rows)
}

// receiveSealed gives the ledger rows whose signature was checked.
func (n *Node) receiveSealed(now ledger.Instant, from string, r *seal.Rows, rows []*ledger.Row) {
	s := &n.signed
	for i, row := range rows {
		if row == nil {
			continue
		}
		if row.Holder.Node == n.opts.Name {
			if row.Holder == s.of {
				s.proved = max(s.proved, row.Version)
			} else if row.Holder == n.self() {
				s.of, s.own, s.proved = row.Holder, 0, row.Version
			}
			delete(s.doubted, from)
			if s.unsure && row.Holder == n.self() && s.first > 0 && row.Version >= s.first {
				// All rows of this run come after those of the runs before, unless this directory has forgotten some.
				n.receive(now, from, &ledger.Row{Holder: n.self(), Version: math.MaxUint64})
			}
			s.unsure = false
		} else if !n.passes(now, from, row, r, i) {
			n.metrics.RowsReceived(telemetry.Refused, 1)
			continue
		} else {
			s.keep(rowKey{row.Holder, row.Instance}, row.Version, signedRow{r, i})
		}
		n.receive(now, from, row)
	}
	n.sweepSigned(now)
}

// unsignedRows takes out of rows without signatures those whose holders sign.
func (n *Node) unsignedRows(from string, rows []ledger.Row) []ledger.Row {
	kept := rows[:0]
	for i := range rows {
		h := rows[i].Holder
		if _, signs := n.book.KeyOf(h.Node, h.Gen); !signs {
			if !n.belongs(h.Node, h.Gen) {
				n.notEnrolled(h.Node, fmt.Sprintf("a row of %v without a signature", h))
				continue
			}
			kept = append(kept, rows[i])
		} else if !n.peers.mixed() { // or it is for members of versions without signatures
			n.refuse(from, &seal.Refusal{Reason: seal.Unsigned, What: fmt.Sprintf("a row of %v without its signature", h)})
		}
	}
	return kept
}
