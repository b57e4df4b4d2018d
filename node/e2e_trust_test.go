//go:build unix

package node_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Kinds of messages, as node/exchange.go has them.
const (
	kindPolicy  = 32
	kindRollout = 43
	kindTrust   = 50
	kindDeath   = 51
)

// operator signs with a key that follows from a name.
type operator struct{ trust.Secret }

func operatorNamed(t *testing.T, name string) operator {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	s, err := trust.NewSecret(bytes.NewReader(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	return operator{s}
}

func (p *proc) trust() api.Trust {
	p.t.Helper()
	tr, err := p.Trust(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return tr
}

func keyOf(t testing.TB, r api.TrustRevision) rollout.Key {
	t.Helper()
	b, err := hex.DecodeString(r.Hash)
	if err != nil || len(b) != 32 {
		t.Fatalf("%+v", r)
	}
	return rollout.Key{Revision: r.Revision, Hash: [32]byte(b)}
}

// signed is a word of the operator on a document, or on a revision.
func (o operator) signed(p *proc, kind string, of rollout.Key, next []trust.Signer, how *policy.Rollout) rollout.Signed {
	tr := p.trust()
	x := rollout.Signed{Key: of, Kind: kind, From: keyOf(p.t, tr.Stable), At: max(time.Now().UnixMilli(), tr.Next), Next: next, Who: o.Public(), Node: "n1"}
	if how != nil {
		x.How = *how
	}
	x.Sig = o.Sign(x.Statement(tr.Charter))
	return x
}

func signature(x rollout.Signed) *trust.Signature {
	return &trust.Signature{By: x.Who, At: x.At, From: x.From.Signed(), Sig: x.Sig}
}

// applies signs a document, for all calls, and has a node adopt it.
func (o operator) applies(p *proc, doc []byte) error {
	parsed, err := policy.Parse("doc", doc)
	if err != nil {
		p.t.Fatal(err)
	}
	x := o.signed(p, trust.Apply, rollout.KeyOf(parsed), parsed.Signers(), nil)
	_, err = p.ApplyPolicy(p.t.Context(), api.ApplyRequest{Source: doc, Signature: signature(x)})
	return err
}

func (o operator) mint(p *proc, id string, amount int64) api.MintRequest {
	tr := p.trust()
	m := api.MintRequest{Budget: "pot", Amount: ledger.Tokens(amount), ID: id}
	m.Signature = o.New(trust.OfMint(tr.Charter, time.Now().UnixMilli(), tr.Node, tr.Generation, m.Budget, nil, amount, id, ""), trust.Revision{})
	return m
}

func signedPolicy(revision int, signers ...string) []byte {
	return append(triedPolicy(revision, allModels), "trust:\n  signers:\n    - {"+strings.Join(signers, "}\n    - {")+"}\n"...)
}

func code(err error) string {
	if e := (*api.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

// TestSigners: once a policy lists signers, no node takes a change, a mint or a word on dead members without a signature of theirs, whoever
// says it and by whatever way.
func TestSigners(t *testing.T) {
	if testing.Short() {
		t.Skip("starts four processes")
	}
	s := newSwarm(t, 3, string(triedPolicy(1, allModels)))
	a, b := s.nodes[0], s.nodes[1]
	alice, bob, eve := operatorNamed(t, "alice"), operatorNamed(t, "bob"), operatorNamed(t, "eve")
	line := func(name string, o operator) string { return "name: " + name + ", key: " + o.Public().String() }
	first := signedPolicy(2, line("alice", alice), line("bob", bob))

	// The first that lists signers is signed by one of them.
	if _, err := a.ApplyPolicy(t.Context(), api.ApplyRequest{Source: first}); code(err) != api.ErrCodeUnsigned {
		t.Fatalf("unsigned: %v", err)
	}
	if err := eve.applies(a, first); code(err) != api.ErrCodeSignature {
		t.Fatalf("signed by a stranger: %v", err)
	}
	if err := alice.applies(a, first); err != nil {
		t.Fatal(err)
	}
	trusts := func(p *proc) {
		t.Helper()
		eventually(t, func() error {
			if tr := p.trust(); len(tr.Signers) != 2 || tr.Signers[0].Name != "alice" {
				return fmt.Errorf("%s trusts %+v", p.set.Name, tr.Signers)
			}
			return nil
		})
	}
	revisions(t, s.nodes, 2, 0)
	for _, p := range s.nodes {
		trusts(p)
	}

	// From now on every node asks for a signature.
	next := signedPolicy(3, line("alice", alice), line("bob", bob))
	parsed, err := policy.Parse("next", next)
	if err != nil {
		t.Fatal(err)
	}
	other := signedPolicy(3, line("alice", alice), line("bob", bob), line("eve", eve))
	good := alice.signed(b, trust.Apply, rollout.KeyOf(parsed), parsed.Signers(), nil)
	for name, x := range map[string]struct {
		r    api.ApplyRequest
		want string
	}{
		"unsigned":                 {api.ApplyRequest{Source: next}, api.ErrCodeUnsigned},
		"by a stranger":            {api.ApplyRequest{Source: next, Signature: signature(eve.signed(b, trust.Apply, rollout.KeyOf(parsed), parsed.Signers(), nil))}, api.ErrCodeSignature},
		"of another document":      {api.ApplyRequest{Source: other, Signature: signature(good)}, api.ErrCodeSignature},
		"as tried, signed for all": {api.ApplyRequest{Source: next, Rollout: map[string]string{"canary": "10%"}, Signature: signature(good)}, api.ErrCodeSignature},
		"for another reason":       {api.ApplyRequest{Source: next, Why: "because", Signature: signature(good)}, api.ErrCodeSignature},
	} {
		if _, err := b.ApplyPolicy(t.Context(), x.r); code(err) != x.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.ActOnPolicy(t.Context(), api.RollBack, api.PolicyAct{}); code(err) != api.ErrCodeUnsigned {
		t.Errorf("a roll back without a signature: %v", err)
	}

	// A mint is signed for one node and is done once.
	m := bob.mint(b, "launch", 1000)
	if _, err := b.Mint(t.Context(), api.MintRequest{Budget: "pot", Amount: 1000, ID: "launch"}); code(err) != api.ErrCodeUnsigned {
		t.Errorf("an unsigned mint: %v", err)
	}
	if rc, err := b.Mint(t.Context(), m); err != nil || rc.Repeated {
		t.Fatalf("%+v, %v", rc, err)
	}
	if rc, err := b.Mint(t.Context(), m); err != nil || !rc.Repeated {
		t.Errorf("the same once more: %+v, %v", rc, err)
	}
	more := m
	more.Amount, more.ID = 2000, "another"
	for name, x := range map[string]struct {
		at *proc
		m  api.MintRequest
	}{"replayed at another node": {a, m}, "with another id and amount": {b, more}, "by a stranger": {b, eve.mint(b, "x", 5)}} {
		if rc, err := x.at.Mint(t.Context(), x.m); code(err) != api.ErrCodeSignature {
			t.Errorf("a mint %s: %+v, %v", name, rc, err)
		}
	}
	for _, p := range []*proc{a, b} {
		eventually(t, func() error {
			if in, err := p.instanceOf("pot", "pot"); err != nil || in.Limit != 901_000 {
				return fmt.Errorf("%s knows of a limit of %d, %v", p.set.Name, in.Limit, err)
			}
			return nil
		})
	}

	// So are freezes, the ends of freezes, and burns, each checked for what it says.
	freezes := func(o operator, p *proc, on bool, why string) *trust.Signature {
		return o.New(trust.OfFreeze(on, p.trust().Charter, time.Now().UnixMilli(), "pot", "", "", why), trust.Revision{})
	}
	if _, err := b.Freeze(t.Context(), api.FreezeRequest{Instance: "pot"}); code(err) != api.ErrCodeUnsigned {
		t.Errorf("an unsigned freeze: %v", err)
	}
	for name, sig := range map[string]*trust.Signature{"by a stranger": freezes(eve, b, true, "w"), "for another reason": freezes(bob, b, true, ""), "of the opposite": freezes(bob, b, false, "w")} {
		if _, err := b.Freeze(t.Context(), api.FreezeRequest{Instance: "pot", Why: "w", Signature: sig}); code(err) != api.ErrCodeSignature {
			t.Errorf("a freeze %s: %v", name, err)
		}
	}
	if rc, err := b.Freeze(t.Context(), api.FreezeRequest{Instance: "pot", Why: "w", Signature: freezes(bob, b, true, "w")}); err != nil || rc.By != "bob (signed)" {
		t.Errorf("%+v, %v", rc, err)
	}
	frozen := func(p *proc, want int) {
		t.Helper()
		eventually(t, func() error {
			if list, err := p.Frozen(t.Context()); err != nil || len(list) != want || want > 0 && list[0].By != "bob (signed)" {
				return fmt.Errorf("%s: %+v is frozen, %v", p.set.Name, list, err)
			}
			return nil
		})
	}
	for _, p := range s.nodes {
		frozen(p, 1)
	}
	tr := b.trust()
	burn := api.BurnRequest{Budget: "pot", Amount: 5, ID: "b1"}
	if _, err := b.Burn(t.Context(), burn); code(err) != api.ErrCodeUnsigned {
		t.Errorf("an unsigned burn: %v", err)
	}
	burn.Signature = bob.New(trust.OfMint(tr.Charter, time.Now().UnixMilli(), tr.Node, tr.Generation, "pot", nil, 5, "b1", ""), trust.Revision{})
	if _, err := b.Burn(t.Context(), burn); code(err) != api.ErrCodeSignature {
		t.Errorf("a burn that is signed as a mint: %v", err)
	}
	burn.Signature = bob.New(trust.OfBurn(tr.Charter, time.Now().UnixMilli(), tr.Node, tr.Generation, "pot", nil, 5, "b1", ""), trust.Revision{})
	if rc, err := b.Burn(t.Context(), burn); err != nil || rc.Burned != 5 {
		t.Errorf("%+v, %v", rc, err)
	}

	// A member that lies gets no further.
	mal := s.mallory(t)
	say := func(kind byte, body []byte) func() {
		return func() { mal.send(a, mal.letter(a, append([]byte{kind}, body...))) }
	}
	evil := signedPolicy(99, line("eve", eve))
	evilPolicy, err := policy.Parse("evil", evil)
	if err != nil {
		t.Fatal(err)
	}
	evilKey := rollout.KeyOf(evilPolicy)
	word := rollout.Word{At: 1, Node: "mallory", By: "op"}
	stable := keyOf(t, a.trust().Stable)
	forged := eve.signed(a, trust.Apply, evilKey, nil, nil)
	forged.Who = alice.Public()
	thaws := func(o operator, who trust.Key, at int64) freeze.Word { // the last of them is signed, and of a time that has not come
		w := freeze.Word{Key: freeze.Key{Instance: "pot"}, At: at, Node: "mallory", Who: who}
		w.Sig = o.Sign(w.Statement(a.trust().Charter))
		return w
	}
	swapped := good
	swapped.Hash = evilKey.Hash
	for _, x := range []struct {
		reason string
		attack func()
	}{
		{"not_signed", say(kindRollout, wire.EncodeEntries([]rollout.Entry{{Key: evilKey, Whole: &word}}))},
		{"not_signed", say(kindRollout, wire.EncodeEntries([]rollout.Entry{{Key: rollout.Key{Revision: 3}, Back: &rollout.Word{At: 1, Node: "mallory", By: rollout.Guardian}}}))},
		{"not_signed", say(kindPolicy, wire.EncodeDocument(&wire.Document{Source: evil, By: "op", Since: time.Now()}))},
		{"not_signed", say(kindFrozen, wire.EncodeWords([]freeze.Word{{Key: freeze.Key{Instance: "pot"}, At: 1 << 50, Node: "mallory"}}))},
		{"no_signer", say(kindFrozen, wire.EncodeWords([]freeze.Word{thaws(eve, eve.Public(), time.Now().UnixMilli()+1000)}))},
		{"false_word", say(kindFrozen, wire.EncodeWords([]freeze.Word{thaws(eve, bob.Public(), time.Now().UnixMilli()+1000)}))},
		{"false_word", say(kindFrozen, wire.EncodeWords([]freeze.Word{thaws(bob, bob.Public(), time.Now().UnixMilli()+1_000_000)}))},
		{"no_signer", say(kindTrust, wire.EncodeTrust(&wire.Trust{Words: []rollout.Signed{eve.signed(a, trust.Apply, evilKey, nil, nil)}}))},
		{"false_word", say(kindTrust, wire.EncodeTrust(&wire.Trust{Words: []rollout.Signed{forged}}))},
		{"false_word", say(kindTrust, wire.EncodeTrust(&wire.Trust{Words: []rollout.Signed{swapped}}))},
		{"false_word", say(kindDeath, wire.EncodeDeath(&wire.Death{Heir: "mallory", Generation: "4d", Dead: []string{"n2"}, By: alice.Public(), At: time.Now().UnixMilli()}))},
		{"no_signer", say(ledger.Encode(&ledger.WordAsk{})[0], ledger.Encode(&ledger.WordAsk{
			ID: 1, From: ledger.Holder{Node: "mallory", Gen: 77}, Dir: ledger.Holder{Node: "mallory", Gen: 77}, To: ledger.Holder{Node: a.set.Name, Gen: generation(t, a)},
			Dead: []ledger.Holder{{Node: "n2", Gen: 1}}, Live: []ledger.Holder{{Node: "mallory", Gen: 77}},
		})[1:])},
	} {
		a.refuses(x.reason, x.attack)
	}
	// Nor by a word on the anchor, which all pass over, or an anchor of its own.
	say(kindRollout, wire.EncodeEntries([]rollout.Entry{{Key: stable, Back: &word}}))()
	say(kindTrust, wire.EncodeTrust(&wire.Trust{Anchor: &rollout.Anchor{Key: evilKey, Whole: word, Signers: []trust.Signer{{Name: "eve", Key: eve.Public()}}}}))()
	revisions(t, s.nodes, 2, 0)

	_ = mal.pool.Close()

	// What is signed is taken by all, also by who comes later, and by who is started again.
	if err := bob.applies(b, next); err != nil {
		t.Fatal(err)
	}
	revisions(t, s.nodes, 3, 0)
	c := s.nodes[2]
	c.kill()
	c.restart()
	late := s.settings("late")
	late.Policy = ""
	s.add(late)
	s.ready()
	revisions(t, s.nodes, 3, 0)
	for _, p := range []*proc{c, s.nodes[3]} {
		trusts(p)
		frozen(p, 1)
		if _, err := p.ApplyPolicy(t.Context(), api.ApplyRequest{Source: signedPolicy(4, line("alice", alice))}); code(err) != api.ErrCodeUnsigned {
			t.Errorf("%s takes a policy without a signature: %v", p.set.Name, err)
		}
	}
	h, err := c.PolicyHistory(t.Context())
	if err != nil || len(h.Revisions) < 2 || h.Revisions[0].Acts[0].By != "bob (signed)" {
		t.Errorf("the history: %+v, %v", h, err)
	}

	if _, err := c.Unfreeze(t.Context(), api.FreezeRequest{Instance: "pot", Signature: freezes(alice, c, false, "")}); err != nil {
		t.Error(err)
	}
	for _, p := range s.nodes {
		frozen(p, 0)
	}

	// A roll back is signed, too.
	x := alice.signed(c, trust.RollBack, keyOf(t, c.trust().Stable), nil, nil)
	if _, err := c.ActOnPolicy(t.Context(), api.RollBack, api.PolicyAct{Signature: signature(x)}); err != nil {
		t.Fatal(err)
	}
	revisions(t, s.nodes, 2, 0)
}

// TestSignedDeath: where the founding policy lists signers, members answer who asks about a dead one only on an operator's word, and then do.
func TestSignedDeath(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three processes")
	}
	alice, bob := operatorNamed(t, "alice"), operatorNamed(t, "bob")
	s := newSwarm(t, 3, string(signedPolicy(1, "name: alice, key: "+alice.Public().String(), "name: bob, key: "+bob.Public().String())))
	a := s.nodes[0]
	for _, p := range s.nodes {
		eventually(t, func() error {
			if tr := p.trust(); len(tr.Signers) != 2 || tr.Charter == "" {
				return fmt.Errorf("%s trusts %+v", p.set.Name, tr)
			}
			return nil
		})
	}
	s.nodes[2].kill()
	eventually(t, func() error {
		for _, p := range s.nodes[:2] {
			ms, err := p.Members(t.Context())
			if err != nil {
				return err
			}
			for _, m := range ms {
				if m.Name == "n3" && m.Status == "alive" {
					return fmt.Errorf("%s takes n3 for alive", p.set.Name)
				}
			}
		}
		return nil
	})
	q := api.RemoveRequest{Name: "n3", Dead: true, Unseen: true, Why: "burnt"}
	if _, err := a.RemoveMember(t.Context(), q); code(err) != api.ErrCodeUnsigned {
		t.Fatalf("without a signature: %v", err)
	}
	sign := func(unseen bool) *trust.Signature {
		tr := a.trust()
		return bob.New(trust.OfDeath(tr.Charter, time.Now().UnixMilli(), tr.Node, tr.Generation, []string{"n3"}, nil, nil, unseen, "burnt"), trust.Revision{})
	}
	q.Signature = sign(false)
	if _, err := a.RemoveMember(t.Context(), q); code(err) != api.ErrCodeSignature {
		t.Fatalf("another word was signed: %v", err)
	}
	eventually(t, func() error {
		q.Signature = sign(true)
		rc, err := a.RemoveMember(t.Context(), q)
		if err == nil && (rc.Heir != "n1" || len(rc.Removed) != 1) {
			t.Fatalf("%+v", rc)
		}
		return err
	})
}
