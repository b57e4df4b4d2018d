package store

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
)

// books is what others were told by a node: they hold it to that, whatever happens to it.
type books struct {
	held    map[ledger.InstanceID]ledger.Tokens // callers', admitted and not refunded
	minted  map[ledger.InstanceID]ledger.Tokens // top-ups that were confirmed
	asked   map[ledger.InstanceID]ledger.Tokens // top-ups that were asked for
	given   map[ledger.InstanceID]ledger.Tokens // rights that a peer was told of
	shares  map[ledger.InstanceID]ledger.Shares // shares that a peer was told of
	version uint64                              // of the last row that was told
	charter ledger.CharterID
}

func newBooks() *books {
	return &books{held: map[ledger.InstanceID]ledger.Tokens{}, minted: map[ledger.InstanceID]ledger.Tokens{},
		asked: map[ledger.InstanceID]ledger.Tokens{}, given: map[ledger.InstanceID]ledger.Tokens{}, shares: map[ledger.InstanceID]ledger.Shares{}}
}

func (b *books) clone() *books {
	c := *b
	c.held, c.minted, c.asked = maps.Clone(b.held), maps.Clone(b.minted), maps.Clone(b.asked)
	c.given, c.shares = maps.Clone(b.given), maps.Clone(b.shares)
	return &c
}

// moment is when a commit was just reported, so that nothing is on its way to the disk.
type moment struct {
	db, seq  []byte
	contents map[string]string
	told     *books // at the last moment before the next commit was reported
}

// cutNode is a node's ledger on a store, with callers and a peer.
type cutNode struct {
	t    *testing.T
	dir  string
	s    *Store
	r    *ledger.Replica
	dice *rand.Rand
	now  ledger.Instant
	open []ledger.Take
	told *books
}

const cutLimit = 100_000

var (
	cutSelf, cutPeer = ledger.Holder{Node: "n1", Gen: 1}, ledger.Holder{Node: "n2", Gen: 1}
	cutSpecs         = map[string]ledger.Spec{
		"pot":   {Kind: ledger.Grant, Amount: cutLimit},
		"hour":  {Kind: ledger.Windowed, Amount: cutLimit, Calendar: ledger.Calendar{Length: 3_600_000}},
		"slots": {Kind: ledger.Slots, Amount: cutLimit},
	}
	cutBudgets = []string{"pot", "hour", "slots"}
)

func cutReplica() *ledger.Replica {
	r := ledger.NewReplica(ledger.Config{
		Self: cutSelf, Strategy: placement.Strategy{}, Rand: rand.New(rand.NewPCG(1, 2)),
		Resolve: func(id ledger.InstanceID) (ledger.Spec, bool) {
			budget, _, _, err := id.Split()
			spec, ok := cutSpecs[budget]
			return spec, ok && err == nil
		},
	})
	r.SetPeers([]ledger.Peer{{Holder: cutPeer, Alive: true}})
	return r
}

func (n *cutNode) instance(budget string) ledger.InstanceID {
	id, err := ledger.NewInstanceID(n.r.Charter().ID, budget, "compute", cutSpecs[budget].Kind, nil, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return id
}

// call reserves tokens, or settles an earlier call.
func (n *cutNode) call() {
	if len(n.open) > 0 && n.dice.IntN(3) == 0 {
		k := n.dice.IntN(len(n.open))
		x := n.open[k]
		n.open = append(n.open[:k], n.open[k+1:]...)
		used := ledger.Tokens(n.dice.Int64N(int64(x.Amount) + 1))
		charged, _ := x.Account.Settle(n.now, x.Amount, used, x.Window)
		n.told.held[x.Account.ID()] -= x.Amount - charged
		return
	}
	id := n.instance(cutBudgets[n.dice.IntN(len(cutBudgets))])
	a, err := n.r.Open(n.now, id)
	if err != nil {
		n.t.Fatal(err)
	}
	takes := []ledger.Take{{Account: a, Amount: ledger.Tokens(1 + n.dice.IntN(400))}}
	if why, _ := ledger.Reserve(n.now, n.now+60_000, takes, false); why == ledger.Enough {
		n.open = append(n.open, takes[0])
		n.told.held[id] += takes[0].Amount
	}
}

// batch is one turn of a node's loop. It returns the moment at which its commit was reported.
func (n *cutNode) batch() moment {
	n.now += ledger.Instant(20 + n.dice.IntN(2000))
	asked := map[ledger.InstanceID]ledger.Tokens{}
	for range n.dice.IntN(8) {
		n.call()
	}
	if n.dice.IntN(5) == 0 {
		id, amount := n.instance("hour"), ledger.Tokens(1+n.dice.IntN(5000))
		if _, err := n.r.Mint(n.now, id, amount, fmt.Sprint(n.now)); err != nil {
			n.t.Fatal(err)
		}
		asked[id] += amount
		n.told.asked[id] += amount
	}
	if id := n.instance(cutBudgets[n.dice.IntN(len(cutBudgets))]); n.dice.IntN(3) == 0 {
		window := ledger.Window(0)
		if a := n.r.Account(id); a != nil {
			window = a.State(n.now).Window
		}
		need := ledger.Tokens(1 + n.dice.IntN(3000))
		ask := &ledger.Ask{ID: n.dice.Uint64(), From: cutPeer, Instance: id, Window: window, Need: need, Want: need, At: n.now}
		if err := n.r.Receive(n.now, ask); err != nil {
			n.t.Fatal(err)
		}
	}
	n.r.Tick(n.now)
	var ws []Write
	for _, w := range n.r.Writes(n.now) {
		b := Seats
		if strings.HasPrefix(w.Key, "account/") || strings.HasPrefix(w.Key, "entry/") {
			b = Accounts
		}
		ws = append(ws, Write{b, w.Key, w.Value})
	}
	for range n.dice.IntN(4) { // callers go on while the disk works
		n.call()
	}
	told := n.told.clone()
	mustCommit(n.t, n.s, ws...)
	fx := n.r.Commit(n.now)
	for id, amount := range asked {
		n.told.minted[id] += amount
	}
	for _, s := range fx.Sends {
		if t, ok := s.Message.(*ledger.Transfer); ok {
			n.told.given[t.Instance], n.told.shares[t.Instance] = t.Out, t.SharesOut
		}
	}
	for _, s := range fx.Spreads {
		n.told.version = max(n.told.version, s.Row.Version)
	}
	return moment{db: readFile(n.t, n.dir, dbName), seq: readFile(n.t, n.dir, seqName), contents: mustContents(n.t, n.s), told: told}
}

// cuts makes what a power cut may leave of a database while it goes from one state to the next. A commit writes its
// pages and syncs, then it writes its meta page and syncs: before the first sync any sectors of its pages may be
// there, before the second all of them and any part of the meta page.
func cuts(dice *rand.Rand, before, after []byte) (left [][]byte) {
	const sector, metas = 512, 2
	page := os.Getpagesize()
	long := bytes.Clone(before) // the file was made longer ahead of the commit
	if len(after) > len(long) {
		long = append(long, make([]byte, len(after)-len(long))...)
	}
	some := bytes.Clone(long)
	for at := metas * page; at < len(after); at += sector {
		if dice.IntN(2) == 0 {
			copy(some[at:at+sector], after[at:])
		}
	}
	all := bytes.Clone(long)
	copy(all[metas*page:], after[metas*page:])
	torn := bytes.Clone(all)
	for m := range metas {
		if meta := after[m*page : (m+1)*page]; !bytes.Equal(meta, before[m*page:(m+1)*page]) {
			copy(torn[m*page:], meta[:dice.IntN(80)]) // the part of it that matters has 80 bytes
		}
	}
	return [][]byte{bytes.Clone(before), long, some, all, torn, bytes.Clone(after)}
}

// TestWhatWasToldSurvivesAPowerCut runs a ledger on a store, with callers and a peer, and cuts the power in the
// middle of every commit. What the directory then holds must be the state before that commit or after it, and
// nothing that anybody was told may be missing there: no spending, no gift, no top-up, no version of a row.
func TestWhatWasToldSurvivesAPowerCut(t *testing.T) {
	n := &cutNode{t: t, dir: t.TempDir(), r: cutReplica(), dice: rand.New(rand.NewPCG(7, 8)), now: 1_700_000_000_000, told: newBooks()}
	var err error
	if n.s, err = Open(options(n.dir)); err != nil {
		t.Fatal(err)
	}
	charter, err := ledger.NewCharter("prod", []ledger.Holder{cutSelf}, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.r.Found(charter); err != nil {
		t.Fatal(err)
	}
	last := n.batch()
	n.told.charter = charter.ID // founded, durably
	held, given, minted := ledger.Tokens(0), ledger.Tokens(0), ledger.Tokens(0)
	outcomes := map[string]int{}
	const batches = 60
	for k := range batches {
		next := n.batch()
		if !bytes.Equal(next.db, last.db) {
			for i, db := range cuts(n.dice, last.db, next.db) {
				outcomes[n.afterCut(fmt.Sprintf("batch %d, cut %d", k, i), db, last, next)]++
			}
		}
		last = next
	}
	if err := n.s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, b := range cutBudgets {
		id := n.instance(b)
		held, given, minted = held+n.told.held[id], given+n.told.given[id], minted+n.told.minted[id]
	}
	t.Logf("%d batches; callers hold %d tokens, a peer %d, %d minted, rows up to version %d; cuts left %v", batches, held, given, minted, n.told.version, outcomes)
	if held == 0 || given == 0 || minted == 0 || n.told.version == 0 || outcomes["the state before"] < batches || outcomes["the state after"] < batches/2 {
		t.Error("the run did not reach what it should")
	}
}

// afterCut starts the node on what a cut left, and holds it to what was told. It says which state was found.
func (n *cutNode) afterCut(name string, db []byte, before, after moment) (found string) {
	n.t.Helper()
	fail := func(format string, args ...any) {
		n.t.Helper()
		n.t.Fatalf("%s: "+format, append([]any{name}, args...)...)
	}
	dir := filepath.Join(n.t.TempDir(), "left")
	copyDir(n.t, n.dir, dir)
	writeFile(n.t, db, dir, dbName)
	writeFile(n.t, before.seq, dir, seqName) // the counter is written last
	s, err := Open(options(dir))
	if err != nil {
		fail("%v", err)
	}
	defer s.Close()
	switch got := mustContents(n.t, s); {
	case equal(got, before.contents):
		found = "the state before"
	case equal(got, after.contents):
		found = "the state after"
	default:
		fail("neither the state before the commit nor the one after it")
	}

	var records []ledger.Write
	entries := map[ledger.InstanceID]ledger.Entry{}
	version := uint64(0)
	for _, b := range []Bucket{Seats, Accounts} {
		if err := s.Each(b, func(key string, value []byte) error {
			w := ledger.Write{Key: key, Value: value}
			records = append(records, w)
			rec, err := ledger.Inspect(w)
			if rec.Entry != nil {
				entries[rec.Instance] = *rec.Entry
			}
			version = max(version, rec.Version)
			return err
		}); err != nil {
			fail("%v", err)
		}
	}
	r := cutReplica()
	if err := r.Load(n.now, records); err != nil {
		fail("%v", err)
	}
	told := after.told // until the commit was reported
	if r.Charter().ID != told.charter {
		fail("charter %v, told was %v", r.Charter().ID, told.charter)
	}
	if version < told.version {
		fail("versions up to %d may be used, rows up to %d were told", version, told.version)
	}
	if off := r.Conservation(); off != 0 {
		fail("the books are off by %d", off)
	}
	for _, b := range cutBudgets {
		id := n.instance(b)
		a := r.Account(id)
		if a == nil {
			if told.held[id]+told.given[id]+told.minted[id] > 0 {
				fail("%s: the account is lost", b)
			}
			continue
		}
		st, e := a.State(n.now), entries[id]
		used := st.Spent + st.Reserved
		switch {
		case used < told.held[id]:
			fail("%s: OVERSPEND: %d tokens are used, callers hold %d", b, used, told.held[id])
		case st.Out < told.given[id] || e.Out < told.given[id] || e.SharesOut < told.shares[id]:
			fail("%s: OVERSPEND: %d tokens and %d shares are given, the peer was told of %d and %d", b, e.Out, e.SharesOut, told.given[id], told.shares[id])
		case st.Minted < told.minted[id] || st.Minted > told.asked[id]:
			fail("%s: %d tokens were minted; %d were confirmed and %d asked for", b, st.Minted, told.minted[id], told.asked[id])
		case st.Issued() > cutLimit+st.Minted || st.Balance() < 0 || used+st.Out+st.Balance() > cutLimit+st.Minted:
			fail("%s: OVERSPEND: %+v", b, st)
		}
	}
	return found
}
