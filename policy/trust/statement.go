package trust

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// What is signed begins with the domain, which no other thing that swarmpurse signs begins with, and goes on with the statement's
// fields: each as its length, an unsigned varint, and its bytes. Numbers are written in decimals, hashes in hexadecimal digits. A list is
// its length as a number, and then its entries. The first field says what kind of statement it is, the second of which cluster.
const domain = "swarmpurse operator 1\n"

// Revision names a revision by its number and the hash of its document.
type Revision struct {
	Number int64
	Hash   [32]byte
}

// Kinds of statements. They are signed, so they do not change.
const (
	Apply    = "policy apply"    // a document is for all calls
	Try      = "policy try"      // a document is tried as a candidate
	Promote  = "policy promote"  // a candidate is for all calls
	Pause    = "policy pause"    // a candidate is not promoted by itself
	Resume   = "policy resume"   // it may be again
	RollBack = "policy rollback" // a revision is given up
	Mint     = "mint"            // an instance is topped up
	Vouch    = "members remove --dead"
	Burn     = "burn" // rights of an instance are destroyed
	Freeze   = "freeze"
	Unfreeze = "unfreeze"
	Enrol    = "node enrol" // a node's key belongs to the swarm
	Expel    = "node expel" // it does not any more
)

// Statement is what an operator says. Bytes are signed.
type Statement struct {
	Kind    string
	Charter string // of the cluster: its id, as GET /v1/trust says
	At      int64  // Unix ms by the operator's clock
	Fields  []string
}

// Bytes are what is signed.
func (s *Statement) Bytes() []byte {
	b := append(make([]byte, 0, 512), domain...)
	put := func(f string) { b = append(binary.AppendUvarint(b, uint64(len(f))), f...) }
	put(s.Kind)
	put(s.Charter)
	put(number(s.At))
	for _, f := range s.Fields {
		put(f)
	}
	return b
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func list(of ...string) []string { return append([]string{number(int64(len(of)))}, of...) }

func revision(r Revision) []string { return []string{number(r.Number), hex.EncodeToString(r.Hash[:])} }

func signers(ss []Signer) []string {
	var f []string
	for _, s := range ss {
		f = append(f, s.Name+"="+s.Key.String())
	}
	return list(f...)
}

// OnRevision is a word on a revision of the policy. from is the revision that was in force when it was said: what it changes. Of a
// document that is applied or tried, how says how it is tried (nothing if it is for all calls), and next are the signers that it lists.
func OnRevision(kind, charter string, at int64, of, from Revision, why string, how []string, next []Signer) *Statement {
	f := append(revision(of), revision(from)...)
	f = append(f, why)
	f = append(f, list(how...)...)
	f = append(f, signers(next)...)
	return &Statement{kind, charter, at, f}
}

// OfMint is a top-up of one instance at one node in one generation; id makes it happen once there.
func OfMint(charter string, at int64, node, generation, budget string, key []string, amount int64, id, why string) *Statement {
	return ofLot(Mint, charter, at, node, generation, budget, key, amount, id, why)
}

// OfBurn is that rights of one instance are destroyed, those of one node in one generation first; id makes it happen once there.
func OfBurn(charter string, at int64, node, generation, budget string, key []string, amount int64, id, why string) *Statement {
	return ofLot(Burn, charter, at, node, generation, budget, key, amount, id, why)
}

func ofLot(kind, charter string, at int64, node, generation, budget string, key []string, amount int64, id, why string) *Statement {
	f := append([]string{node, generation, budget}, list(key...)...)
	return &Statement{kind, charter, at, append(f, number(amount), id, why)}
}

// OfFreeze is that an instance, a tenant or an agent is frozen from a time on, or is not any more.
func OfFreeze(frozen bool, charter string, at int64, instance, tenant, agent, why string) *Statement {
	kind := Unfreeze
	if frozen {
		kind = Freeze
	}
	return &Statement{kind, charter, at, []string{instance, tenant, agent, why}}
}

// Stated is an amount of an instance, as an operator states it.
type Stated struct {
	Instance string
	Amount   int64
}

// OfDeath vouches that members are dead; node in its generation is their heir. stock and limits are as in the request.
func OfDeath(charter string, at int64, node, generation string, dead []string, stock, limits []Stated, unseen bool, why string) *Statement {
	stated := func(in []Stated) []string {
		var f []string
		for _, s := range in {
			f = append(f, s.Instance+"="+number(s.Amount))
		}
		return list(f...)
	}
	f := append([]string{node, generation}, list(dead...)...)
	f = append(f, stated(stock)...)
	f = append(f, stated(limits)...)
	return &Statement{Vouch, charter, at, append(f, strconv.FormatBool(unseen), why)}
}

// OfNode says that a node with a public key belongs to the swarm (Enrol), or does not any more (Expel).
func OfNode(kind, charter string, at int64, node string, key Key, why string) *Statement {
	return &Statement{kind, charter, at, []string{node, key.String(), why}}
}

// Sign signs a statement.
func (s Secret) Sign(x *Statement) [64]byte { return [64]byte(ed25519.Sign(s.key, x.Bytes())) }

// Verify reports whether a statement has the signature of a key.
func (k Key) Verify(x *Statement, sig [64]byte) bool { return ed25519.Verify(k[:], x.Bytes(), sig[:]) }
