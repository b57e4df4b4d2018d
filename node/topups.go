package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy/topup"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Top-ups that operators signed (package policy/topup), where the policy lists trust.signers. All nodes keep those that rows may show, on disk, and a holder tells one
// that it has done to all before it tells the row. A row that shows more than the known ones allow is held back: it is not learned and not told on,
// and nothing that moves tokens is taken from its holder, which is as if that were cut off, until they have come. Who told the row is asked for them.

const (
	keyTopUps = "topups"

	// topUpsGrace is for how long, in ms, a row may be held back before it is said: it and the top-ups come by different ways.
	topUpsGrace = 5_000
	// topUpsKept is for how long, in ms, a row is held back whose holder is no member any more.
	topUpsKept = 60_000
	// topUpsAsk is how often, in ms, one peer is asked for the top-ups at one holder, and is answered at most.
	topUpsAsk = 1_000
	// olderFor is for how long, in ms, after its start or the beginning of trust a node believes what was minted before anybody signed. Later it has
	// heard of it, or is told no more.
	olderFor = 10 * 60_000
	// maxHeldBack bounds the rows that are held back. Those beyond come again with the next comparison.
	maxHeldBack = 1024
)

// topups is what of it the loop keeps; cut is for all.
type topups struct {
	book             topup.Book
	changes, durable uint64
	began            ledger.Instant // when this run, or trust, began
	held             map[rowKey]*heldBack
	asked, answered  map[string]ledger.Instant
	most             int                             // at which acts are looked for that nothing is told of any more
	cut              atomic.Pointer[map[string]bool] // whose rows are held back
}

// heldBack is a row that shows more than was signed, as far as is known here.
type heldBack struct {
	row   *ledger.Row
	rows  *seal.Rows // nil: it came without a signature
	at    int
	from  string
	since ledger.Instant
	said  bool
}

// loadTopUps takes up what the data directory has.
func (n *Node) loadTopUps() error {
	n.topups.began = n.now()
	b, err := n.store.Get(store.Policy, keyTopUps)
	if err != nil || b == nil {
		return err
	}
	as, err := wire.DecodeTopUps(b, wire.MaxTopUps)
	if err != nil {
		return &OptionError{"data", fmt.Errorf("which top-ups operators signed cannot be read by this version: %w", err), "start the version that stored it"}
	}
	n.topups.book.Merge(as)
	return nil
}

// writeTopUps adds to the batch that begins what is not durable: this node's with what they allow, and others', as their rows may outlive all who were told by them.
func (n *Node) writeTopUps() {
	t := &n.topups
	if t.changes == t.durable {
		return
	}
	now := t.changes
	n.extra = append(n.extra, store.Write{Bucket: store.Policy, Key: keyTopUps, Value: wire.EncodeTopUps(t.book.All())})
	n.after = append(n.after, func(err error) {
		if err == nil {
			t.durable = now
		}
	})
}

// signsTopUps reports whether a key is, or was, on a list of signers: what was minted under it stays.
func (n *Node) signsTopUps() func(trust.Key) bool {
	links := n.roll.Links()
	return func(k trust.Key) bool {
		for _, l := range links {
			if trust.Rank(l.Signers, k) >= 0 {
				return true
			}
		}
		return false
	}
}

// judgesTopUps reports whether operators sign top-ups here.
func (n *Node) judgesTopUps() bool {
	return len(n.roll.Signers()) > 0 && !n.replica.Charter().ID.IsZero()
}

// covered reports whether what an account shows as minted is signed for. The loop's.
func (n *Node) covered(now ledger.Instant, s topup.Shown) bool {
	t := &n.topups
	if s.Minted == 0 || s.Holder.Node == n.opts.Name || !n.judgesTopUps() || t.book.Covers(s) {
		return true
	}
	if now >= t.began+olderFor || !n.mayPredate(s) || n.knowsRow(now, s) {
		return false
	}
	t.book.Predates(s)
	return true
}

// mayPredate reports whether what is shown may have been minted before anybody signed.
func (n *Node) mayPredate(s topup.Shown) bool {
	a := n.roll.Anchor()
	return a != nil && !foundedSigned(a.Whole.By) && !s.After(a.Whole.At)
}

// judgeKnown judges the rows that were learned before it was known here who signs. Those that show more than was signed stay, and their holders are cut off as if
// they had come now.
func (n *Node) judgeKnown(now ledger.Instant) {
	t := &n.topups
	t.began = now
	if !n.judgesTopUps() {
		return
	}
	for _, id := range n.replica.Instances() {
		for _, k := range n.replica.Rows(now, id) {
			s := topup.ShownBy(&k.Row)
			switch {
			case s.Minted == 0 || k.Holder.Node == n.opts.Name || t.book.Covers(s):
			case n.mayPredate(s):
				t.book.Predates(s)
			default:
				n.holdBack(&heldBack{row: &k.Row, since: now})
			}
		}
	}
}

// foundedSigned reports whether nobody ever minted without a signature: the cluster was founded with signers, so that the revision was not applied by one of them.
func foundedSigned(by string) bool { return !strings.HasSuffix(by, " (signed)") }

func (n *Node) knowsRow(now ledger.Instant, s topup.Shown) bool {
	return slices.ContainsFunc(n.replica.Rows(now, s.Instance), func(k ledger.Known) bool { return k.Holder == s.Holder && k.Version > 0 })
}

// passes reports whether a row is to be learned, and holds it back if it is not. The loop's.
func (n *Node) passes(now ledger.Instant, from string, row *ledger.Row, rows *seal.Rows, at int) bool {
	t, k := &n.topups, rowKey{row.Holder, row.Instance}
	if n.covered(now, topup.ShownBy(row)) {
		if h := t.held[k]; h != nil && h.row.Version <= row.Version {
			delete(t.held, k)
			n.showCut()
		}
		return true
	}
	n.holdBack(&heldBack{row: row, rows: rows, at: at, from: from, since: now})
	n.wantTopUps(now, from, row.Holder)
	n.wantTopUps(now, row.Holder.Node, row.Holder)
	return false
}

// holdBack keeps a row until more top-ups have come.
func (n *Node) holdBack(h *heldBack) {
	t, k := &n.topups, rowKey{h.row.Holder, h.row.Instance}
	if old := t.held[k]; old != nil {
		if old.row.Version < h.row.Version {
			h.since, h.said = old.since, old.said
			t.held[k] = h
		}
		return
	}
	if len(t.held) >= maxHeldBack {
		return
	}
	if t.held == nil {
		t.held = map[rowKey]*heldBack{}
	}
	t.held[k] = h
	n.showCut()
}

// showCut tells all goroutines whose rows are held back: of the present generations, since what one that is over has shown binds nobody.
func (n *Node) showCut() {
	cut := map[string]bool{}
	for k := range n.topups.held {
		if m := n.member(k.holder.Node); m == nil || holderOf(*m).Gen <= k.holder.Gen {
			cut[k.holder.Node] = true
		}
	}
	n.topups.cut.Store(&cut)
}

// isCut reports whether a message of a peer is not taken since it shows more than was signed. Safe for concurrent use.
func (n *Node) isCut(from string, kind byte) bool {
	cut := n.topups.cut.Load()
	if cut == nil || !(*cut)[from] || anybodys(kind) || kind == msgTopUps || kind == msgWantTopUps || kind == msgKeys || kind == msgWantProof {
		return false
	}
	n.refused.total[seal.UnsignedMint].Add(1)
	return true
}

// noteCovered reports whether a note of a ward's records is to be taken: a guardian does not keep what its peers would not believe, and what no guardian has
// stored no heir can be given.
func (n *Node) noteCovered(now ledger.Instant, m any) bool {
	var ward ledger.Holder
	var records []guardian.Record
	switch m := m.(type) {
	case *guardian.Note:
		ward, records = m.From, m.Records
	case *guardian.Part:
		if ward = m.Of; m.From == ward { // else guardians tell each other what they have stored
			records = m.Records
		}
	}
	if len(records) == 0 || !n.judgesTopUps() {
		return true
	}
	for s := range ledger.Minted(records) {
		if !n.covered(now, topup.Shown{Holder: ward, Instance: s.Instance, Window: s.Window, Minted: s.Minted}) {
			n.refused.total[seal.UnsignedMint].Add(1)
			n.wantTopUps(now, ward.Node, ward)
			return false
		}
	}
	return true
}

// watchTopUps says which rows are held back for long, and drops those of holders that are no members any more. The loop's, at every tick.
func (n *Node) watchTopUps(now ledger.Instant) {
	t := &n.topups
	for k, h := range t.held {
		if now < h.since { // the clock was set back
			h.since = now
		}
		m := n.member(k.holder.Node)
		alive := m != nil && m.Status == gossip.Alive && holderOf(*m) == k.holder
		if now >= h.since+topUpsKept && !alive {
			delete(t.held, k) // who knows the row may tell it again
			n.showCut()
			continue
		}
		if alive {
			n.wantTopUps(now, k.holder.Node, k.holder)
		}
		if n.pooled.Load() && paced(&t.asked, k.holder.String(), now) { // who had it from the holder may know more
			if names := n.alive(); len(names) > 0 {
				n.wantTopUps(now, names[n.rand.IntN(len(names))], k.holder)
			}
		}
		if alive && !h.said && now >= h.since+topUpsGrace {
			h.said = true
			n.refuse(k.holder.Node, &seal.Refusal{Reason: seal.UnsignedMint, What: fmt.Sprintf("%s has minted %d tokens of %s itself, and operators have signed for %d",
				k.holder.Node, h.row.Minted, k.instance.Name(), t.book.Signed(topup.ShownBy(h.row)))})
		}
	}
	if t.book.Len() > max(t.most, 1024) && now >= t.began+olderFor {
		told := map[ledger.Holder]bool{n.self(): true}
		for _, id := range n.replica.Instances() {
			for _, k := range n.replica.Rows(now, id) {
				told[k.Holder] = true
			}
		}
		for k := range t.held {
			told[k.holder] = true
		}
		t.book.Keep(func(h ledger.Holder) bool { return told[h] || h.Node == n.opts.Name })
		t.changes++
		t.most = 2 * t.book.Len()
	}
}

// roomForTopUp reports why a signed top-up of an instance at this node is not taken; nil if it is.
func (n *Node) roomForTopUp(now ledger.Instant, id ledger.InstanceID, a *topup.Act) error {
	t := &n.topups
	s := topup.Shown{Holder: a.Holder, Instance: id}
	if acc := n.replica.Account(id); acc != nil {
		s.Window = acc.State(now).Window
	}
	t.book.Turn(s)
	if t.book.Has(a) {
		return nil
	}
	if err := t.book.Room(s); err != nil {
		return fmt.Errorf("%w: %w", api.ErrConflict, err)
	}
	return nil
}

// addTopUp takes one over that is done with the present batch, or was done before.
func (n *Node) addTopUp(a topup.Act) {
	t := &n.topups
	if len(t.book.Merge([]topup.Act{a})) == 0 {
		return
	}
	t.changes++
	n.after = append(n.after, func(err error) {
		if err == nil {
			n.spreadTopUp(a)
		}
	})
}

// spreadTopUp tells all of one at this node.
func (n *Node) spreadTopUp(a topup.Act) {
	body := append([]byte{msgTopUps}, wire.EncodeTopUps([]topup.Act{a})...)
	n.cast(fmt.Sprintf("topup/%s/%s", a.Budget, a.ID), frozenWeight, body)
	for _, name := range n.pool.Alive() {
		n.tell(name, msgTopUps, body[1:])
	}
}

// receiveTopUps takes a peer's acts over, and learns the rows that waited for them.
func (n *Node) receiveTopUps(now ledger.Instant, from string, as []topup.Act) {
	if !n.judgesTopUps() {
		return // who signs is not known yet: whoever tells the row is asked again
	}
	t, charter, signs := &n.topups, n.replica.Charter().ID.String(), n.signsTopUps()
	var good []topup.Act
	for i := range as {
		a := &as[i]
		if t.book.Has(a) {
			continue
		}
		err := a.Check(charter, signs)
		if no := (*topup.Refused)(nil); errors.As(err, &no) {
			if no.Why == topup.Forged {
				n.refuse(from, &seal.Refusal{Reason: seal.FalseWord, What: no.What})
				break // and no work with what else it says
			}
			n.refuse(from, &seal.Refusal{Reason: seal.NoSigner, What: no.What})
			continue
		}
		good = append(good, *a)
	}
	news := t.book.Merge(good)
	if len(news) == 0 {
		return
	}
	t.changes++
	for k, h := range t.held {
		if !t.book.Covers(topup.ShownBy(h.row)) {
			continue
		}
		delete(t.held, k)
		if h.rows == nil {
			n.receive(now, h.from, []ledger.Row{*h.row})
			continue
		}
		rows := make([]*ledger.Row, h.at+1)
		rows[h.at] = h.row
		n.receiveSealed(now, h.from, h.rows, rows)
	}
	n.showCut()
	if len(news) == 1 { // more are an answer to this node alone
		a := &news[0]
		n.pass(from, fmt.Sprintf("topup/%s/%s", a.Budget, a.ID), frozenWeight, append([]byte{msgTopUps}, wire.EncodeTopUps(news)...))
	}
}

// wantTopUps asks a peer for the acts at a holder.
func (n *Node) wantTopUps(now ledger.Instant, to string, of ledger.Holder) {
	if n.member(to) == nil || !paced(&n.topups.asked, to+"\x00"+of.String(), now) {
		return
	}
	n.tell(to, msgWantTopUps, wire.EncodeWantTopUps(of))
}

// sendTopUps answers a peer.
func (n *Node) sendTopUps(now ledger.Instant, to string, of ledger.Holder) {
	as := n.topups.book.Of(of)
	if len(as) == 0 || !paced(&n.topups.answered, to+"\x00"+of.String(), now) {
		return
	}
	for chunk := range slices.Chunk(as, wire.TopUpsAtOnce) {
		n.tell(to, msgTopUps, wire.EncodeTopUps(chunk))
	}
}

// paced reports whether something was not done for a while, and takes note that it is done now.
func paced(last *map[string]ledger.Instant, what string, now ledger.Instant) bool {
	if at, ok := (*last)[what]; ok && now < at+topUpsAsk && at <= now {
		return false
	}
	if *last == nil || len(*last) >= maxRefusers {
		*last = map[string]ledger.Instant{}
	}
	(*last)[what] = now
	return true
}

// decodeTopUps reads messages about signed top-ups.
func (n *Node) decodeTopUps(from string, payload []byte) (op, error) {
	body := payload[1:]
	if payload[0] == msgTopUps {
		as, err := wire.DecodeTopUps(body, wire.TopUpsAtOnce)
		return func(now ledger.Instant) { n.receiveTopUps(now, from, as) }, err
	}
	of, err := wire.DecodeWantTopUps(body)
	if err != nil || from == "" {
		return nil, err
	}
	return func(now ledger.Instant) { n.sendTopUps(now, from, of) }, nil
}

// topUpOf is a top-up as an operator signed it for this node.
func (n *Node) topUpOf(m *api.MintRequest) topup.Act {
	return topup.Act{Holder: n.self(), Budget: m.Budget, Key: m.Key, Amount: m.Amount, ID: m.ID, Why: m.Why, At: m.Signature.At, Who: m.Signature.By, Sig: m.Signature.Sig}
}
