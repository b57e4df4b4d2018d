package admit

import (
	"testing"
)

// TestShadows: what decisions saw is left while a shadow is looked at, of those that ran and those that were refused, within a bound; what is beyond
// it is counted.
func TestShadows(t *testing.T) {
	n := one(t, tried)
	take := func() (list []Shadowed, dropped int) {
		dropped = n.e.Shadows(func(x *Shadowed) {
			c := *x
			c.Draws = append([]ShadowedDraw(nil), x.Draws...)
			list = append(list, c)
		})
		return list, dropped
	}
	n.must(of("a", "m", 5), Admit, CodeOK)
	if list, dropped := take(); len(list) != 0 || dropped != 0 {
		t.Fatalf("%+v, %d", list, dropped)
	}
	n.e.SetShadow(true)
	r := of("a", "m", 5)
	r.Attributes = map[string]string{"team": "x"}
	id := n.must(r, Admit, CodeOK)
	r.Attributes["team"] = "changed"
	n.must(of("a", "m", 5000), Deny, CodeTooLarge)
	n.must(of("a", "m", 995), Defer, CodeExhausted)
	list, dropped := take()
	if len(list) != 3 || dropped != 0 {
		t.Fatalf("%+v, %d", list, dropped)
	}
	for _, x := range list {
		if x.Draws[0].Room != -1 {
			t.Errorf("nobody has looked yet at what is left, and there is room for %d", x.Draws[0].Room)
		}
	}
	byCode := map[string]Shadowed{}
	for _, x := range list {
		byCode[x.Code] = x
	}
	if x := byCode[CodeOK]; x.ID != n.e.Format(id) || x.Verdict != Admit || len(x.Draws) != 1 || x.Draws[0].Amount != 5 || x.Plan.Rules[0] != "rule 1" || x.Call.Attributes["team"] != "x" {
		t.Errorf("%+v", x)
	}
	if x := byCode[CodeTooLarge]; x.Verdict != Deny || x.Draws[0].Amount != 5000 {
		t.Errorf("%+v", x)
	}
	if x := byCode[CodeExhausted]; x.Short == nil || x.Short.Instance.Name() != "pool" || x.Short.Remaining > 990 || x.Draws[0].Amount != 995 {
		t.Errorf("%+v", x)
	}
	for range 3 { // what was left before a call is known once the instance was looked at
		n.w.now += 1000
		n.w.tick()
	}
	n.must(of("a", "m", 5), Admit, CodeOK)
	n.must(of("a", "m", 995), Defer, CodeExhausted)
	if list, _ := take(); len(list) != 2 || list[0].Draws[0].Room != 990 && list[0].Draws[0].Room != 985 || list[0].Draws[0].Room+list[1].Draws[0].Room != 990+985 {
		t.Errorf("%+v", list)
	}
	const many = 2 * numShards * maxShadowed
	for range many {
		n.e.refused(n.w.now, of("a", "m", 1), nil, refusal{verdict: Defer, code: CodeFenced}, 0)
	}
	if list, dropped := take(); len(list) != numShards*maxShadowed || dropped != many-len(list) || list[0].Plan != nil || list[0].Code != CodeFenced {
		t.Errorf("%d are left, %d dropped", len(list), dropped)
	}
	n.e.SetShadow(false)
	n.must(of("a", "m", 5), Admit, CodeOK)
	if list, dropped := take(); len(list) != 0 || dropped != 0 {
		t.Errorf("%+v, %d", list, dropped)
	}
}

// BenchmarkDecideShadowed is BenchmarkDecide on one budget while a shadow is looked at: what the copy costs.
func BenchmarkDecideShadowed(b *testing.B) {
	calls := benchCalls(1, 1000)
	n := benchNode(b, calls)
	n.e.SetShadow(true)
	i, ids := 0, make([]ID, 0, batchLen)
	batches(b, func(_, many int) {
		for range many {
			if id, ok := n.e.Try(n.w.now, calls[i%len(calls)]); ok {
				ids = append(ids, id)
			}
			i++
		}
	}, func(int) {
		for _, id := range ids {
			_, _ = n.e.Release(n.w.now, id)
		}
		ids = ids[:0]
		n.e.Shadows(func(*Shadowed) {})
	})
}
