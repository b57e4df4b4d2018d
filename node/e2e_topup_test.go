//go:build unix

package node_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy/topup"
)

const kindTopUps = 55

// TestUnsignedMint: a member that mints for itself, where operators sign top-ups, is not believed by anybody, and what it gives away moves nothing, until an
// operator's act has come; and who mints with one is believed by all, also by those that come later, and after restarts.
func TestUnsignedMint(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three processes")
	}
	t.Parallel()
	alice, eve := operatorNamed(t, "alice"), operatorNamed(t, "eve")
	s := newSwarm(t, 2, computePolicy(1, "{grant: 1000000}")+fmt.Sprintf("trust:\n  signers:\n    - {name: alice, key: %s}\n", alice.Public()))
	a, b := s.nodes[0], s.nodes[1]
	for _, p := range s.nodes {
		eventually(t, func() error {
			if tr := p.trust(); len(tr.Signers) != 1 {
				return fmt.Errorf("%s trusts %+v", p.set.Name, tr)
			}
			return nil
		})
		p.settle(p.admit(1000).ID)
	}
	limit := func(want ledger.Tokens, nodes ...*proc) {
		t.Helper()
		for _, p := range nodes {
			eventually(t, func() error {
				if in, err := p.instanceOf("pot", "pot"); err != nil || in.Limit != want {
					return fmt.Errorf("%s knows of a limit of %d, want %d: %v", p.set.Name, in.Limit, want, err)
				}
				return nil
			})
		}
	}
	limit(1_000_000, a, b)

	// An operator's top-up, at one of them.
	if rc, err := b.Mint(t.Context(), alice.mint(b, "launch", 500)); err != nil || rc.Repeated {
		t.Fatalf("%+v, %v", rc, err)
	}
	limit(1_000_500, a, b)
	for _, p := range s.nodes {
		if n := p.refused("unsigned_mint"); n > 3 { // a note may come before the top-up that it shows
			t.Errorf("%s has refused %v of an honest node", p.set.Name, n)
		}
	}

	// A member mints for itself. No guardian keeps that for it: the heir of such a member would be given it.
	m := s.mallory(t)
	theirs := ledger.Holder{Node: "mallory", Gen: m.dir}
	note := &guardian.Note{From: theirs, To: ledger.Holder{Node: "n1", Gen: generation(t, a)}, Version: 1, Records: mintedRecords(t, theirs, 500)}
	a.refuses("unsigned_mint", func() { m.send(a, m.letter(a, ledger.Encode(note))) })

	// Nobody believes its row, and what it gives away does not come.
	charter, err := hex.DecodeString(a.trust().Charter)
	if err != nil {
		t.Fatal(err)
	}
	pot, err := ledger.NewInstanceID(ledger.CharterID(charter), "pot", "compute", ledger.Grant, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	version := uint64(0)
	tells := func(p *proc, minted ledger.Tokens) {
		version++
		row := ledger.Row{Holder: theirs, Instance: pot, Version: version, Minted: minted, Issued: minted, Surplus: minted}
		m.send(p, append([]byte{kindRows}, m.signer.Rows(&row).Append(nil, nil)...))
	}
	gives := func(p *proc, out ledger.Tokens) {
		m.send(p, m.letter(p, ledger.Encode(&ledger.Transfer{From: theirs, To: ledger.Holder{Node: p.set.Name, Gen: generation(t, p)}, Instance: pot, Out: out})))
	}
	came := func(p *proc) ledger.Tokens {
		t.Helper()
		in, err := p.instanceOf("pot", "pot")
		if err != nil {
			t.Fatal(err)
		}
		return in.Local.Rights
	}
	before := came(a)
	// Once the row is refused: packets overtake each other, and of who has shown nothing yet a transfer is believed.
	a.refuses("unsigned_mint", func() { tells(a, 1_000_000_000) })
	a.refuses("unsigned_mint", func() { gives(a, 1_000_000_000) })
	eventually(t, func() error {
		if x, err := a.memberOf("mallory"); err != nil || x.Refused == 0 || x.RefusedWhy != "unsigned_mint" {
			return fmt.Errorf("%+v, %v", x, err)
		}
		if log := a.log.String(); !strings.Contains(log, "mallory has minted 1000000000 tokens of pot itself, and operators have signed for 0") {
			return fmt.Errorf("the log does not say it:\n%s", a.log.last(5))
		}
		return nil
	})
	limit(1_000_500, a, b)
	if now := came(a); now != before {
		t.Errorf("%d tokens came, %d had before", now, before)
	}

	// Acts that no operator signed help it nothing. One that counts for less does not either.
	act := func(o operator, id string, n ledger.Tokens) topup.Act {
		x := topup.Act{Holder: theirs, Budget: "pot", Amount: n, ID: id, At: time.Now().UnixMilli(), Who: o.Public()}
		x.Sig = o.Sign(x.Statement(a.trust().Charter))
		return x
	}
	shows := func(p *proc, acts ...topup.Act) {
		m.send(p, m.letter(p, append([]byte{kindTopUps}, wire.EncodeTopUps(acts)...)))
	}
	forged := act(eve, "x", 2_000_000_000)
	a.refuses("no_signer", func() { shows(a, forged) })
	forged.Who = alice.Public()
	a.refuses("false_word", func() { shows(a, forged) })
	first := act(alice, "one", 1000)
	shows(a, first)
	a.refuses("unsigned_mint", func() { tells(a, 1001); gives(a, 1001) })
	limit(1_000_500, a, b)

	// With those that it needs it is heard: the row that waited for them, too, and its transfers; and so it is by who is told the row and must ask for them.
	eventually(t, func() error { // one is sent once, and may be lost
		shows(a, act(alice, "two", 1))
		gives(a, 400)
		if now := came(a); now != before+400 {
			return fmt.Errorf("%d tokens came, %d before", now, before)
		}
		return nil
	})
	limit(1_001_501, a, b)
	_ = m.pool.Close()
	for _, p := range s.nodes {
		eventually(t, func() error {
			if x, err := p.memberOf("mallory"); err != nil || x.Status != "failed" {
				return fmt.Errorf("%s: %+v, %v", p.set.Name, x, err)
			}
			return nil
		})
	}

	// Who comes later asks for what it needs; so does who was started again, and who has minted shows it then, too.
	late := s.settings("late")
	late.Policy = ""
	c := s.add(late)
	limit(1_001_501, c)
	for _, p := range s.nodes[:2] {
		p.kill()
		p.restart()
	}
	s.ready()
	limit(1_001_501, s.nodes...)
}

// mintedRecords are what guardians are told of a holder that mints for itself.
func mintedRecords(t *testing.T, of ledger.Holder, amount ledger.Tokens) (rs []guardian.Record) {
	t.Helper()
	r := ledger.NewReplica(ledger.Config{
		Self: of, Strategy: placement.Strategy{}, Rand: rand.New(rand.NewPCG(1, 2)),
		Resolve: func(ledger.InstanceID) (ledger.Spec, bool) {
			return ledger.Spec{Kind: ledger.Grant, Amount: 1000}, true
		},
	})
	c, err := ledger.NewCharter("e2e", []ledger.Holder{of}, [16]byte{})
	if err == nil {
		err = r.Found(c)
	}
	id, bad := ledger.NewInstanceID(c.ID, "pot", "compute", ledger.Grant, nil, nil)
	if _, cannot := r.Mint(1, id, amount, "x"); err != nil || bad != nil || cannot != nil {
		t.Fatal(err, bad, cannot)
	}
	for _, w := range r.Writes(1) {
		rs = append(rs, guardian.Record(w))
	}
	slices.SortFunc(rs, func(a, b guardian.Record) int { return strings.Compare(a.Key, b.Key) })
	if shown := slices.Collect(ledger.Minted(rs)); len(shown) != 1 || shown[0] != (ledger.Topped{Instance: id, Minted: amount}) {
		t.Fatalf("%+v", shown)
	}
	return rs
}
