//go:build unix

package node_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy/enrol"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// More kinds of messages, as node/exchange.go has them.
const (
	kindFrozen   = 38
	kindEnrolled = 52
)

// enrols has a node take the operator's word that another belongs to the swarm, or does not any more.
func (o operator) enrols(at *proc, node, key string, expel bool) error {
	v, err := at.Enrolment(at.t.Context())
	if err != nil {
		return err
	}
	last := int64(0)
	for _, x := range v.Nodes {
		if x.Node == node && (key == "" || x.Key == key) {
			key, last = x.Key, x.At
		}
	}
	k, err := trust.ParseKey(key)
	if err != nil {
		return err
	}
	kind := map[bool]string{false: trust.Enrol, true: trust.Expel}[expel]
	sig := o.New(trust.OfNode(kind, at.trust().Charter, max(time.Now().UnixMilli(), last+1), node, k, "test"), trust.Revision{})
	_, err = at.Enrol(at.t.Context(), api.EnrolRequest{Node: node, Key: key, Expel: expel, Why: "test", Signature: sig})
	return err
}

// enrolled waits until all nodes know who belongs.
func enrolled(t *testing.T, nodes []*proc, want ...string) {
	t.Helper()
	eventually(t, func() error {
		for _, p := range nodes {
			v, err := p.Enrolment(t.Context())
			if err != nil {
				return err
			}
			var got []string
			for _, x := range v.Nodes {
				if x.Enrolled {
					got = append(got, x.Node)
				}
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s: %v are enrolled, want %v", p.set.Name, got, want)
			}
		}
		return nil
	})
}

func (p *proc) memberOf(name string) (m api.Member, err error) {
	ms, err := p.Members(p.t.Context())
	for _, m := range ms {
		if m.Name == name {
			return m, nil
		}
	}
	return m, fmt.Errorf("%s knows no %s: %v", p.set.Name, name, err)
}

// TestEnrolment: with trust.enrol a node with the gossip key and nothing else moves no token, and is counted and named; an operator's word lets it in
// while it runs, and puts it out again.
func TestEnrolment(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three processes")
	}
	t.Parallel()
	alice, bob, eve := operatorNamed(t, "alice"), operatorNamed(t, "bob"), operatorNamed(t, "eve")
	doc := func(revision int, enrols string) []byte {
		return []byte(computePolicy(revision, "{grant: 1000000}") + fmt.Sprintf("trust:\n  %ssigners:\n    - {name: alice, key: %s}\n    - {name: bob, key: %s}\n", enrols, alice.Public(), bob.Public()))
	}
	s := newSwarm(t, 2, string(doc(1, "")))
	a, b := s.nodes[0], s.nodes[1]
	for _, p := range s.nodes {
		eventually(t, func() error {
			if tr := p.trust(); len(tr.Signers) != 2 {
				return fmt.Errorf("%s trusts %+v", p.set.Name, tr)
			}
			return nil
		})
		p.settle(p.admit(1000).ID)
	}

	// Nobody shuts out members that live, and who is on no list enrols nobody.
	if err := alice.applies(a, doc(2, "enrol: true\n  ")); code(err) != api.ErrCodeEnrolment || !strings.Contains(err.Error(), "n1, n2") {
		t.Fatalf("enrolment begins with nobody enrolled: %v", err)
	}
	if err := eve.enrols(a, "n1", "", false); code(err) != api.ErrCodeSignature {
		t.Errorf("a stranger enrols: %v", err)
	}
	if _, err := a.Enrol(t.Context(), api.EnrolRequest{Node: "n1", Key: eve.Public().String()}); code(err) != api.ErrCodeUnsigned {
		t.Errorf("without a signature: %v", err)
	}
	for i, name := range []string{"n1", "n2"} {
		if err := []operator{alice, bob}[i].enrols(a, name, "", false); err != nil {
			t.Fatal(err)
		}
	}
	enrolled(t, s.nodes, "n1", "n2")
	if err := alice.applies(b, doc(2, "enrol: true\n  ")); err != nil {
		t.Fatal(err)
	}
	revisions(t, s.nodes, 2, 0)
	for _, p := range s.nodes {
		eventually(t, func() error {
			if v, err := p.Enrolment(t.Context()); err != nil || !v.Required {
				return fmt.Errorf("%s: %+v, %v", p.set.Name, v, err)
			}
			return nil
		})
	}
	for _, p := range s.nodes {
		p.settle(p.admit(1000).ID)
	}
	var before api.Instance
	eventually(t, func() error { // all calls so far are told
		if before, _ = s.totals("pot", "pot"); before.Swarm.Spent != 4000 {
			return fmt.Errorf("%d tokens are spent, as all know", before.Swarm.Spent)
		}
		return nil
	})

	// A member of the pool that nobody enrolled says what it likes, signed with its own key or not at all.
	m := s.mallory(t)
	theirs, hers := ledger.Holder{Node: "mallory", Gen: m.dir}, ledger.Holder{Node: "n1", Gen: generation(t, a)}
	id := ledger.InstanceID(before.Instance + "@" + strings.Repeat("0", 12))
	rich := ledger.Row{Holder: theirs, Instance: id, Version: 1, Minted: 1e9, Issued: 1e9, Surplus: 1e9}
	rows := append([]byte{kindRows}, m.signer.Rows(&rich).Append(nil, nil)...)
	frozen := wire.EncodeWords([]freeze.Word{{Key: freeze.Key{Instance: "pot"}, Frozen: true, At: 1, Node: "mallory"}})
	for name, payload := range map[string][]byte{
		"an ask":                  m.letter(a, ledger.Encode(&ledger.Ask{ID: 1, From: theirs, Instance: id, Need: 500, Want: 500, Patience: 1000})),
		"a transfer":              m.letter(a, ledger.Encode(&ledger.Transfer{From: theirs, To: hers, Instance: id, Out: 1e6})),
		"rows":                    rows,
		"rows in a letter":        m.letter(a, rows),
		"a freeze":                m.letter(a, append([]byte{kindFrozen}, frozen...)),
		"a digest":                m.letter(a, ledger.Encode(&ledger.Digest{From: theirs})),
		"a digest as if unsigned": nil,
	} {
		a.refuses("not_enrolled", func() {
			if payload == nil { // of a version that signs nothing, as it says
				spoof(t, a, "ghost", ledger.Encode(&ledger.Digest{From: ledger.Holder{Node: "ghost", Gen: 1}}))
				return
			}
			m.send(a, payload)
		})
		if t.Failed() {
			t.Fatal(name)
		}
	}
	w := enrol.Word{Identity: enrol.Identity{Node: "mallory", Key: trust.Key(m.signer.Pin().Key)}, At: time.Now().UnixMilli(), Who: alice.Public()}
	w.Sig = eve.Sign(w.Statement(a.trust().Charter))
	a.refuses("false_word", func() { m.send(a, m.letter(a, append([]byte{kindEnrolled}, wire.EncodeEnrolled([]enrol.Word{w})...))) })
	w.Who = eve.Public()
	a.refuses("no_signer", func() { m.send(a, m.letter(a, append([]byte{kindEnrolled}, wire.EncodeEnrolled([]enrol.Word{w})...))) })
	if after, _ := s.totals("pot", "pot"); after.Limit != before.Limit || after.Swarm.Spent != before.Swarm.Spent || after.Swarm.Issued != before.Swarm.Issued {
		t.Errorf("the books went from %+v to %+v", before.Swarm, after.Swarm)
	}
	if list, err := a.Frozen(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("frozen: %+v, %v", list, err)
	}
	if x, err := a.memberOf("mallory"); err != nil || !x.NotEnrolled || x.Refused == 0 {
		t.Errorf("%+v, %v", x, err)
	}
	_ = m.pool.Close()

	// A real node that joins is told why nobody listens to it, and is let in while it runs, by a word at another node.
	late := s.settings("n3")
	late.Policy = ""
	c := s.add(late)
	c.attacked = true
	eventually(t, func() error {
		st, err := c.Status(t.Context())
		if err != nil || st.Ready || !strings.Contains(fmt.Sprint(st.Reasons), "swarmpurse keys enrol n3 --node-key ed25519:") {
			return fmt.Errorf("%+v, %v", st.Reasons, err)
		}
		x, err := c.memberOf("n3")
		if err == nil && !x.NotEnrolled || !strings.Contains(c.log.String(), "not enrolled: ") {
			err = fmt.Errorf("it does not say that it is not enrolled: %+v", x)
		}
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if ans, err := c.Admit(ctx, api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 1000}, Wait: "300ms"}); err != nil || ans.Admitted() {
		t.Errorf("it got rights: %+v, %v", ans, err)
	}
	if err := bob.enrols(b, "n3", "", false); err != nil {
		t.Fatal(err)
	}
	s.ready()
	enrolled(t, s.nodes, "n1", "n2", "n3")
	eventually(t, func() error {
		ans, err := c.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 1000}, Wait: "2s"})
		if err == nil && ans.Admitted() {
			c.settle(ans.ID)
			return nil
		}
		return fmt.Errorf("%+v, %v", ans, err)
	})
	s.totals("pot", "pot")

	// Who is started again knows it from its disk, and a replay of the older word changes nothing.
	b.kill()
	b.restart()
	s.ready()
	if err := alice.enrols(a, "n3", "", true); err != nil {
		t.Fatal(err)
	}
	enrolled(t, s.nodes, "n1", "n2")
	eventually(t, func() error {
		st, err := c.Status(t.Context())
		x, merr := b.memberOf("n3")
		if err != nil || st.Ready || merr != nil || !x.NotEnrolled {
			return fmt.Errorf("it was expelled: %+v, %+v, %v, %v", st.Reasons, x, err, merr)
		}
		return nil
	})
	b.attacked, a.attacked = true, true
	a.settle(a.admit(1000).ID)
	b.settle(b.admit(1000).ID)
}
