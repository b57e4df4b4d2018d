package admit

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

func moves(tenant string) *Request {
	return &Request{Call: policy.Call{Tenant: tenant, PromptTokens: 10}}
}

// flow paces bytes, with time for the disk.
func (n *node) flow(id ID, bytes ledger.Tokens) (done ledger.Tokens, lack Lack, ok bool) {
	for range 4 {
		var more ledger.Tokens
		more, lack, ok = n.e.Pace(n.w.now, id, bytes-done)
		if done += more; done == bytes {
			break
		}
		n.r.Tick(n.w.now)
		n.w.sync()
	}
	return done, lack, ok
}

// TestPaceBinds: bytes of a call pass as fast as the example's tenant line brings rights, and then those of the line of all.
func TestPaceBinds(t *testing.T) {
	n := one(t, example(t, "bandwidth"))
	id := n.must(moves("search"), Admit, CodeOK)
	done, _, ok := n.flow(id, 900_000)
	if done != 900_000 || !ok {
		t.Fatalf("%d bytes, %v", done, ok)
	}
	done, lack, ok := n.flow(id, 300_000)
	if done != 100_000 || !ok {
		t.Errorf("of a burst of 1M, %d bytes after 900k, %v", done, ok)
	}
	if done, lack, _ = n.flow(id, 200_000); done != 0 || lack.Instance.Name() != "tenant-line/search" || lack.Need != 200_000 {
		t.Errorf("%d bytes, lacks %+v", done, lack)
	}
	n.w.pass(100 * time.Millisecond)
	if done, _, _ = n.flow(id, 200_000); done < 49_000 || done > 51_000 {
		t.Errorf("%d bytes after 100 ms of 500k/s", done)
	}
	// Those that pass all the same are owed: nothing passes, and nobody is admitted, until they are paid.
	n.e.Owe(n.w.now, id, 100_000)
	if done, _, _ = n.flow(id, 1); done != 0 {
		t.Error("a byte passed while others are owed")
	}
	if a := n.answer(n.must(moves("search"), Defer, CodeExhausted)); a.Short.Instance.Name() != "tenant-line/search" {
		t.Errorf("%+v", a)
	}
	rc := n.settle(id, Settlement{Usage: &Usage{PromptTokens: 10}})
	for _, c := range rc.Charged {
		if b := c.Budget; b == "line" && (c.Amount < 1_149_000 || c.Amount > 1_151_000) || c.Overrun != 0 {
			t.Errorf("%+v", c)
		}
	}
	if _, _, ok := n.flow(id, 1); ok {
		t.Error("a call that has ended is paced")
	}
	n.w.pass(400 * time.Millisecond)
	n.must(moves("search"), Admit, CodeOK)

	// Four tenants at once are stopped by the line of all.
	n.w.pass(10 * time.Second)
	sum := ledger.Tokens(0)
	for _, tenant := range []string{"a", "b", "c", "d", "e"} {
		id := n.must(moves(tenant), Admit, CodeOK)
		done, lack, _ := n.flow(id, 1_000_000)
		if sum += done; done < 1_000_000 && lack.Instance.Name() != "line" {
			t.Errorf("tenant %s lacks %+v", tenant, lack)
		}
	}
	if sum != 4_000_000 {
		t.Errorf("%d bytes passed at once", sum)
	}
	if _, _, ok := n.flow(n.must(moves(""), Admit, CodeOK), 1); !ok {
		t.Error("a call of no tenant is not paced by the line of all")
	}
	plain := one(t, example(t, "compute"))
	id = plain.must(&Request{Call: policy.Call{Model: "small", PromptTokens: 1}}, Admit, CodeOK)
	if _, _, ok := plain.flow(id, 1); ok {
		t.Error("a call without bytes is paced")
	}
}

// TestPaceLaws: whatever is paced, owed and reserved, and however it ends, the books close, and a call is charged its bytes once.
func TestPaceLaws(t *testing.T) {
	doc := preamble + `
budgets:
  - {name: line, token: bytes, supply: {rate: 1000/s, burst: 5000}}
  - {name: seen, token: bytes, supply: {window: 1s, amount: 3000}, ceiling: {soft: 10%}}
  - {name: pot, token: compute, supply: {grant: 1M}}
rules:
  - {draw: [line, seen, pot], cost: {bytes: "100"}}
`
	doc = "\napiVersion: swarmpurse/v1\nrevision: 1\ntokens:\n  bytes: {unit: byte}" + doc[len("\napiVersion: swarmpurse/v1\nrevision: 1\ntokens:"):]
	rapid.Check(t, func(t *rapid.T) {
		n := newSwarm(t, 1, doc, Config{}).nodes[0]
		type call struct {
			id   ID
			flow ledger.Tokens
		}
		var open []*call
		pick := func(t *rapid.T) *call {
			if len(open) == 0 {
				t.Skip("no call")
			}
			return open[rapid.IntRange(0, len(open)-1).Draw(t, "call")]
		}
		bytes := rapid.Int64Range(1, 4000)
		t.Repeat(map[string]func(*rapid.T){
			"admit": func(t *rapid.T) {
				id, w := n.admit(moves("t"))
				if w == nil && n.answer(id).Verdict == Admit {
					open = append(open, &call{id: id})
				}
			},
			"pace": func(t *rapid.T) {
				c, b := pick(t), ledger.Tokens(bytes.Draw(t, "bytes"))
				done, _, ok := n.e.Pace(n.w.now, c.id, b)
				if !ok || done < 0 || done > b {
					t.Fatalf("%d of %d bytes, %v", done, b, ok)
				}
				c.flow += done
			},
			"owe": func(t *rapid.T) {
				c, b := pick(t), ledger.Tokens(bytes.Draw(t, "bytes"))
				n.e.Owe(n.w.now, c.id, b)
				c.flow += b
			},
			"pass": func(t *rapid.T) { n.w.pass(time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms")) * time.Millisecond) },
			"end": func(t *rapid.T) {
				c := pick(t)
				var rc Receipt
				least := c.flow
				switch rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					rc = n.release(c.id)
				case 1:
					rc = n.settle(c.id, Settlement{Usage: &Usage{PromptTokens: 1}})
				case 2:
					rc = n.settle(c.id, Settlement{Outcome: "cut"}) // all that is reserved
					least += 100
				}
				for _, g := range rc.Charged {
					if g.Budget == "line" && (g.Amount < least || g.Amount > c.flow+100) {
						t.Fatalf("%d bytes flowed, charged are %+v", c.flow, g)
					}
				}
				open = append(open[:0:0], open...)
				for i := range open {
					if open[i] == c {
						open = append(open[:i], open[i+1:]...)
						break
					}
				}
			},
			"": func(t *rapid.T) {
				for _, b := range []string{"line", "seen", "pot"} {
					if len(open) == 0 {
						continue
					}
					a := n.account(b)
					if off := a.Audit(); off != 0 {
						t.Fatalf("%s is off by %d: %+v", b, off, a.State(n.w.now))
					}
				}
				if len(open) > 0 {
					if s := n.account("line").State(n.w.now); s.Reserved != ledger.Tokens(100*len(open)) {
						t.Fatalf("%d are reserved for %d calls", s.Reserved, len(open))
					}
				}
			},
		})
	})
}
