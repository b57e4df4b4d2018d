package node

import (
	"fmt"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/wire"
)

// Messages of package seal. Their kinds are far above those of the node itself, so that both can grow.
const (
	msgLetter    byte = iota + 64 // messages under the signature of who sends them
	msgRows                       // rows under the signature of their holder, whoever sends them
	msgProof                      // two rows of one version
	msgKeys                       // keys of nodes that are no members any more
	msgWantProof                  // show me my rows that you know
	msgSeal                       // the signature of a push/pull, beside its other parts
)

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

func (s *signed) keep(k rowKey, version uint64, r signedRow) {
	if old, ok := s.rows[k]; ok && old.version >= version {
		return
	}
	s.rows[k] = keptRow{r, version}
	if s.newest[k.holder].version <= version {
		s.newest[k.holder] = keptRow{r, version}
	}
}

// signRows signs rows of this node's own, of one generation, and keeps them. The loop's.
func (n *Node) signRows(rows []*ledger.Row) *seal.Rows {
	r := n.signer.Rows(rows...)
	n.book.Wrote(r, rows)
	s := &n.signed
	if h := rows[0].Holder; s.of != h {
		s.of, s.own, s.proved = h, 0, 0
	}
	for i, row := range rows {
		s.keep(rowKey{row.Holder, row.Instance}, row.Version, signedRow{r, i})
		s.own = max(s.own, row.Version)
	}
	return r
}

// spreadRows tells what the ledger says all should know: this node's own rows, as many together as one packet takes, and those of
// others as it heard them.
func (n *Node) spreadRows(spreads []ledger.Spread) {
	var own []*ledger.Row
	var weight float64
	size, mixed := 0, n.peers.mixed()
	room := n.pool.PacketRoom()
	flush := func() {
		if len(own) > 0 {
			r := n.signRows(own)
			n.pool.Spread(rowsKey(own), weight, r.Append([]byte{msgRows}, nil))
			own, weight, size = own[:0:0], 0, 0
		}
	}
	type part struct {
		rows   *seal.Rows
		weight float64
		keep   map[int]bool
	}
	var parts []*part
	byRows := map[*seal.Rows]*part{}
	for i := range spreads {
		row, w := spreads[i].Row, spreads[i].Weight
		mine := row.Holder == n.self()
		if mine && n.signed.unsure {
			n.signed.held[rowKey{row.Holder, row.Instance}] = spreads[i]
			if n.signed.first == 0 {
				n.signed.first = row.Version
			}
			continue
		}
		kept, ok := n.signed.rows[rowKey{row.Holder, row.Instance}]
		if ok && kept.version > row.Version {
			continue // one that came after it goes on
		}
		ok = ok && kept.version == row.Version
		if mixed || !mine && !ok { // nodes of versions without signatures read only this, and write only this
			key, payload := "row/"+row.Holder.Node+"/"+string(row.Instance), ledger.Encode([]ledger.Row{*row})
			if mine {
				n.pool.Spread(key, w, payload)
			} else {
				n.pool.Relay(row.Holder.Node, key, w, payload)
			}
		}
		switch {
		case mine:
			const most = 400 // bytes of a row, but for very long names
			if len(own) == seal.MaxRows || len(own) > 0 && (size+most > room || own[0].Holder != row.Holder) {
				flush()
			}
			own = append(own, row)
			size += 64 + len(row.Holder.Node) + len(row.Instance) + 90
			weight = max(weight, w)
		case ok:
			p := byRows[kept.rows]
			if p == nil {
				p = &part{rows: kept.rows, keep: map[int]bool{}}
				byRows[kept.rows] = p
				parts = append(parts, p)
			}
			p.keep[kept.at] = true
			p.weight = max(p.weight, w)
		}
	}
	flush()
	for _, p := range parts {
		key := fmt.Sprintf("rows/%s/%x", p.rows.Holder().Node, p.rows.Key())
		n.pool.Relay(p.rows.Holder().Node, key, p.weight, p.rows.Append([]byte{msgRows}, func(i int) bool { return p.keep[i] }))
	}
}

// rowsKey is the same for later rows of the same instances, which then take the place of those that still wait.
func rowsKey(rows []*ledger.Row) string {
	h := xxhash.New()
	for _, r := range rows {
		_, _ = h.WriteString(string(r.Instance))
		_, _ = h.Write([]byte{0})
	}
	return fmt.Sprintf("row/%s/%x", rows[0].Holder.Node, h.Sum64())
}

// sendRows sends a peer rows that it lacks.
func (n *Node) sendRows(to string, rows []ledger.Row) {
	if !n.signs(to) {
		n.post(to, ledger.Encode(rows))
		return
	}
	var loose []ledger.Row
	var own []*ledger.Row
	var order []*seal.Rows
	parts := map[*seal.Rows]map[int]bool{}
	add := func(r *seal.Rows, i int) {
		if parts[r] == nil {
			parts[r] = map[int]bool{}
			order = append(order, r)
		}
		parts[r][i] = true
	}
	flush := func() {
		if len(own) > 0 {
			r := n.signRows(own)
			for i := range own {
				add(r, i)
			}
			own = own[:0:0]
		}
	}
	for i := range rows {
		row := &rows[i]
		switch kept, ok := n.signed.rows[rowKey{row.Holder, row.Instance}]; {
		case ok && kept.version >= row.Version:
			add(kept.rows, kept.at)
		case row.Holder == n.self() && n.signed.unsure:
		case row.Holder == n.self():
			one := *row // rows are the ledger's again after this
			if own = append(own, &one); len(own) == seal.MaxRows {
				flush()
			}
		default:
			loose = append(loose, *row)
		}
	}
	flush()
	n.sendKeys(to, order)
	for _, r := range order {
		keep := parts[r]
		n.post(to, r.Append([]byte{msgRows}, func(i int) bool { return keep[i] }))
	}
	if len(loose) > 0 {
		n.post(to, ledger.Encode(loose))
	}
}

// sendKeys tells a peer the keys of holders whose own word it may never hear.
func (n *Node) sendKeys(to string, list []*seal.Rows) {
	told := map[ledger.Holder]bool{}
	var ks []wire.Key
	for _, r := range list {
		h := r.Holder()
		pin, ok := n.book.KeyOf(h.Node, h.Gen)
		if !ok || h.Node == n.opts.Name && pin.Dir == n.dir || n.peers.tells(h.Node, pin.Key) || told[ledger.Holder{Node: h.Node, Gen: pin.Dir}] || len(ks) == wire.MaxKeys {
			continue
		}
		told[ledger.Holder{Node: h.Node, Gen: pin.Dir}] = true
		ks = append(ks, wire.Key{Node: h.Node, Dir: pin.Dir, Key: [32]byte(pin.Key)})
	}
	if len(ks) > 0 {
		n.post(to, append([]byte{msgKeys}, wire.EncodeKeys(ks)...))
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
		} else {
			s.keep(rowKey{row.Holder, row.Instance}, row.Version, signedRow{r, i})
		}
		n.receive(now, from, row)
	}
	n.sweepSigned(now)
}

// provePause is how often, in ms, a peer is asked for a proof, and is given one.
const provePause = 1000

// doubt takes out of a digest what its sender says it knows of this node, if it is more than this node knows to have said: any
// peer could fence it by that. It is asked for the row, which has this node's signature.
func (n *Node) doubt(now ledger.Instant, from string, d *ledger.Digest) *ledger.Digest {
	s := &n.signed
	self := n.self()
	known := uint64(0)
	if s.of == self {
		known = max(s.own, s.proved)
	}
	for i := range d.Holders {
		if h := &d.Holders[i]; h.Holder == self && h.Highest > known {
			c := *d
			c.Holders = append(append([]ledger.HolderDigest(nil), d.Holders[:i]...), d.Holders[i+1:]...)
			at, asked := s.doubted[from]
			if asked && now < at+provePause && at <= now {
				return &c
			}
			if asked {
				n.refuse(from, &seal.Refusal{Reason: seal.Unproved, What: fmt.Sprintf("%s says that it knows version %d of this node, and shows no row of it", from, h.Highest)})
			}
			if len(s.doubted) >= maxRefusers {
				clear(s.doubted)
			}
			s.doubted[from] = now
			n.post(from, []byte{msgWantProof})
			return &c
		}
	}
	s.unsure = false // it knows nothing that this node does not
	return d
}

// unsureFor is how long, in ms, a node waits for a peer to say which of its rows it knows. Peers of versions without signatures say
// it in a way that fences at once.
const unsureFor = 5_000

// sure ends the wait, and tells what was kept. The loop's, at each tick.
func (n *Node) sure(now ledger.Instant) {
	s := &n.signed
	if s.unsure {
		if s.since == 0 && len(n.pool.Alive()) > 0 {
			s.since = now
		}
		s.unsure = s.since == 0 || now < s.since+unsureFor && now >= s.since
	}
	if s.unsure || len(s.held) == 0 {
		return
	}
	held := s.held
	s.held = map[rowKey]ledger.Spread{}
	if n.replica.Fenced() {
		return
	}
	var spreads []ledger.Spread
	for _, x := range held {
		spreads = append(spreads, x)
	}
	n.spreadRows(spreads)
}

// prove shows a peer the latest row that is known here of its present life.
func (n *Node) prove(now ledger.Instant, to string) {
	s := &n.signed
	if at, ok := s.shown[to]; ok && now < at+provePause && at <= now {
		return
	}
	if len(s.shown) >= maxRefusers {
		clear(s.shown)
	}
	s.shown[to] = now
	var best ledger.Holder
	for h := range s.newest {
		if h.Node == to && h.Gen > best.Gen {
			best = h
		}
	}
	if k, ok := s.newest[best]; ok {
		n.post(to, k.rows.Append([]byte{msgRows}, func(i int) bool { return i == k.at }))
	}
}

// convict acts on a proof that a holder has signed two rows of one version: peers hear of it, and it is fenced. The loop's.
func (n *Node) convict(now ledger.Instant, from string, p *seal.Proof) {
	news, err := n.book.Convict(int64(now), from, p)
	if err != nil {
		n.refuse(from, err)
		return
	}
	if !news {
		return
	}
	n.log.Error().Str("event", "audit").Str("node", p.Holder.Node).Stringer("holder", p.Holder).Uint64("version", p.Version).Str("by", from).
		Msg("two different rows of one version, both signed: that node lies, two processes run on copies of its data directory, or an older copy of it was put back. It is fenced: stop all of its processes, and start one with an empty data directory")
	n.auditor.act(audit.Record{Kind: audit.Alarm, What: "equivocation", Node: p.Holder.Node, By: from, Count: int64(p.Version),
		Why: fmt.Sprintf("%v has signed two different rows of version %d", p.Holder, p.Version)})
	n.refused.total[seal.Convicted].Add(1)
	payload := append([]byte{msgProof}, p.Encode()...)
	n.pool.Spread("proof/"+p.Holder.Node, frozenWeight, payload)
	for _, name := range n.pool.Alive() {
		n.post(name, payload)
	}
	if pin, ok := n.book.KeyOf(p.Holder.Node, p.Holder.Gen); ok && p.Holder.Node == n.opts.Name && pin.Dir == n.dir {
		// The ledger fences a replica that hears of rows of its own which it has not written. This is that.
		n.receive(now, from, &ledger.Row{Holder: n.self(), Version: math.MaxUint64})
	}
}

// open takes a letter apart, and hands on what is in it.
func (n *Node) openLetter(from string, msg []byte) {
	var payloads [][]byte
	var dir uint64
	err := n.checked(from, func() (err error) {
		payloads, dir, err = n.book.OpenLetter(time.Now().UnixMilli(), from, msg)
		return err
	})
	if err != nil {
		n.refuse(from, err)
		return
	}
	for _, p := range payloads {
		n.takeSigned(from, dir, p)
	}
}

// takeRows checks rows that a peer tells, its own or others'.
func (n *Node) takeRows(from string, msg []byte) {
	r, rows, err := seal.ParseRows(msg)
	var proof *seal.Proof
	if err == nil {
		err = n.checked(r.Holder().Node, func() (err error) {
			proof, err = n.book.CheckRows(time.Now().UnixMilli(), from, r, rows)
			return err
		})
	}
	if err != nil {
		n.refuse(from, err)
		n.metrics.RowsReceived(telemetry.Refused, 1)
		return
	}
	_ = n.submit(n.inputs, func(now ledger.Instant) {
		if !n.listens(from, ledger.CharterID{}, msgRows) {
			return
		}
		if proof != nil {
			n.convict(now, from, proof)
			return
		}
		n.receiveSealed(now, from, r, rows)
	})
}

// takeProof checks a proof.
func (n *Node) takeProof(from string, msg []byte) {
	p, err := seal.ParseProof(msg)
	if err != nil {
		n.refuse(from, err)
		return
	}
	_ = n.submit(n.inputs, func(now ledger.Instant) { n.convict(now, from, p) })
}

// takeSigned takes a message out of a letter of a peer that speaks in its directory dir.
func (n *Node) takeSigned(from string, dir uint64, payload []byte) {
	if len(payload) == 0 {
		return
	}
	switch body := payload[1:]; payload[0] {
	case msgLetter, msgSeal: // none has any business here
		n.refuse(from, &seal.Refusal{Reason: seal.Malformed, What: "a letter in a letter"})
	case msgRows:
		n.takeRows(from, body)
	case msgProof:
		n.takeProof(from, body)
	case msgKeys:
		ks, err := wire.DecodeKeys(body)
		if err != nil {
			n.refuse(from, err)
			return
		}
		for _, k := range ks {
			n.book.Hearsay(k.Node, k.Dir, k.Key[:])
		}
	case msgWantProof:
		_ = n.submit(n.inputs, func(now ledger.Instant) { n.prove(now, from) })
	default:
		n.takeFrom(from, dir, ledger.CharterID{}, payload)
	}
}

// speaks checks that a message is of a generation of the directory that its sender signs for. dir is 0 for nodes that sign nothing.
func (n *Node) speaks(from string, dir uint64, m any) error {
	h, ok := speaker(m)
	if !ok || dir == 0 || from == "" {
		return nil
	}
	return n.book.Speaks(from, dir, h.Gen)
}

// speaker is the holder that says that it has written a message.
func speaker(m any) (ledger.Holder, bool) {
	switch m := m.(type) {
	case *ledger.Ask:
		return m.From, true
	case *ledger.Hold:
		return m.From, true
	case *ledger.Offer:
		return m.From, true
	case *ledger.Refuse:
		return m.From, true
	case *ledger.Transfer:
		return m.From, true
	case *ledger.Ack:
		return m.From, true
	case *ledger.SeatPass:
		return m.From, true
	case *ledger.SeatAck:
		return m.From, true
	case *ledger.Digest:
		return m.From, true
	case *guardian.Note:
		return m.From, true
	case *guardian.NoteAck:
		return m.From, true
	case *guardian.Refused:
		return m.From, true
	case *guardian.Release:
		return m.From, true
	case *guardian.Promise:
		return m.From, true
	case *guardian.Accepted:
		return m.From, true
	case *guardian.Reject:
		return m.From, true
	case *guardian.Query:
		return m.From, true
	case *guardian.Decided:
		return m.From, true
	case *guardian.Outcome:
		return m.From, true
	case *guardian.Fetch:
		return m.From, true
	case *guardian.Part:
		return m.From, true
	case *ledger.WordAsk:
		return m.From, true
	case *ledger.WordAnswer:
		return m.From, true
	case *ledger.WordDoubt:
		return m.From, true
	case *ledger.WordOver:
		return m.From, true
	case *guardian.Prepare:
		return m.Ballot.By, true
	case *guardian.Accept:
		return m.Ballot.By, true
	}
	return ledger.Holder{}, false
}

// unsignedRows takes out of rows without signatures those whose holders sign.
func (n *Node) unsignedRows(from string, rows []ledger.Row) []ledger.Row {
	kept := rows[:0]
	for i := range rows {
		h := rows[i].Holder
		if _, signs := n.book.KeyOf(h.Node, h.Gen); !signs {
			kept = append(kept, rows[i])
		} else if !n.peers.mixed() { // or it is for members of versions without signatures
			n.refuse(from, &seal.Refusal{Reason: seal.Unsigned, What: fmt.Sprintf("a row of %v without its signature", h)})
		}
	}
	return kept
}

// newSigned is empty.
func newSigned() signed {
	return signed{rows: map[rowKey]keptRow{}, newest: map[ledger.Holder]keptRow{}, doubted: map[string]ledger.Instant{}, shown: map[string]ledger.Instant{}, held: map[rowKey]ledger.Spread{}}
}
