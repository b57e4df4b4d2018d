package ledger

import (
	"slices"
	"testing"
)

// TestClaims: claims of live holders add up; of what a holder has beyond the tenants that it names nobody knows whose it is.
func TestClaims(t *testing.T) {
	claims := func(cs ...Claim) (all [MaxClaims]Claim) { copy(all[:], cs); return all }
	a, b, c := Holder{Node: "a", Gen: 1}, Holder{Node: "b", Gen: 1}, Holder{Node: "c", Gen: 1}
	in := &instance{id: "pool", account: &Account{}, rows: []known{
		{&Row{Holder: b, Demand: 100, Claims: claims(Claim{7, 50}, Claim{3, 30}, Claim{4, 9}, Claim{5, 6})}, 0},
		{&Row{Holder: c, Demand: 500, Claims: claims(Claim{7, 500})}, 0},
	}}
	in.account.demand = 40
	in.account.SetClaims(claims(Claim{3, 25}))
	r := &Replica{self: a, instances: map[InstanceID]*instance{"pool": in}, peers: []Peer{{Holder: b, Alive: true}, {Holder: c}}}
	list, rest, least := r.Claims("pool")
	if want := []Claim{{3, 55}, {4, 9}, {5, 6}, {7, 50}}; !slices.Equal(list, want) || rest != 5 || least != 6 {
		t.Errorf("%v, %d of others who ask for %d at most; want %v, 5 and 6", list, rest, least, want)
	}
	if list, _, _ := r.Claims("none"); list != nil {
		t.Errorf("of an unknown instance: %v", list)
	}
}
