package policy

import (
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// TestRenewParse: which budgets may have instances that end, and what is said of the others.
func TestRenewParse(t *testing.T) {
	for _, c := range []struct {
		budget string
		want   string // of the error, "" for none
	}{
		{"per: [agent], supply: {window: 1h, amount: 10k}, renew: 1h", ""},
		{"per: [agent], supply: {window: 1h, amount: 10k}, renew: 6h", ""},
		{"per: [agent], supply: {window: 24h, amount: 10k}, renew: 24h", ""},
		{"per: [agent], supply: {window: 24h, amount: 10k}, renew: 7d", ""},
		{"per: [agent], supply: {window: 5m, amount: 10k}, renew: 10m", ""},
		{"per: [agent], supply: {rate: 100/s, burst: 10k}, renew: 1h", ""},
		{"per: [agent], supply: {window: 1h, amount: 10k}, ceiling: {soft: 10%}, price: {base: 2}, renew: 1h", ""},
		{"supply: {window: 1h, amount: 10k}, renew: 1h", "one instance, which stays"},
		{"per: [run], supply: {grant: 10k}, renew: 1h", "grant cannot be renewed"},
		{"per: [run], supply: {slots: 8}, renew: 1h", "slots cannot be renewed"},
		{"per: [agent], supply: {window: 1h, amount: 10k, rollover: 10%}, renew: 1h", "does not go with rollover"},
		{"per: [tenant], supply: {window: 1h, amount: 10k}, guarantee: 20%, renew: 1h", "guarantee and feedback"},
		{"per: [agent], supply: {rate: 100/s, burst: 10k}, feedback: {}, renew: 1h", "guarantee and feedback"},
		{"per: [agent], supply: {window: 1h, amount: 10k}, price: {mode: dynamic, base: 1, max: 8}, renew: 1h", "price that moves"},
		{"per: [agent], supply: {window: 15s, amount: 10k}, renew: 30s", "at least 1m0s"},
		{"per: [agent], supply: {window: 1h, amount: 10k}, renew: 7h", "cannot be renewed every 7h0m0s"},
		{"per: [agent], supply: {window: 4h, amount: 10k}, renew: 6h", "do not have whole windows"},
		{"per: [agent], supply: {window: 1h, amount: 10k}, renew: 24h", "do not have whole windows"},
		{"per: [agent], supply: {window: 24h, amount: 10k}, renew: 1h", "do not have whole windows"},
		{"per: [agent], supply: {window: month, amount: 10k}, renew: 7d", "do not have whole windows"},
		{"per: [agent], supply: {rate: 10/s, burst: 10k}, renew: 1h", "10 times as long as the burst takes to fill"},
	} {
		_, err := Parse("p.yaml", []byte("apiVersion: swarmpurse/v1\nrevision: 1\ntokens: {t: {unit: token}}\nbudgets:\n  - {name: b, token: t, "+c.budget+
			"}\nrules:\n  - {draw: [b], cost: {t: 1}}\n"))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.budget, err, c.want)
		}
	}
}

// TestRenewedIdentities: an instance's identity says when it lives, and one of another life, calendar or none is not the budget's.
func TestRenewedIdentities(t *testing.T) {
	const doc = `
apiVersion: swarmpurse/v1
revision: 1
tokens: {t: {unit: token}}
budgets:
  - {name: b, token: t, per: [agent], supply: {window: 1h, amount: 10k}, renew: 6h}
  - {name: stays, token: t, per: [agent], supply: {window: 1h, amount: 10k}}
rules:
  - {draw: [b, stays], cost: {t: 1}}
`
	p, err := Parse("p.yaml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	charter := ledger.CharterID{1}
	b, _ := p.Budget("b")
	id, err := b.Instance(charter, []string{"a7"})
	if err != nil {
		t.Fatal(err)
	}
	const hour = ledger.Instant(3_600_000)
	at := func(now ledger.Instant) ledger.InstanceID {
		live, err := b.Present(now, id)
		if err != nil {
			t.Fatal(err)
		}
		return live
	}
	if at(12*hour) != at(18*hour-1) || at(18*hour-1) == at(18*hour) {
		t.Errorf("lives: %s, %s, %s", at(12*hour), at(18*hour-1), at(18*hour))
	}
	if got, values, ok := p.Resolve(charter, at(13*hour)); !ok || got != b || values[0] != "a7" {
		t.Errorf("%s is of %v %q: %v", at(13*hour), got, values, ok)
	}
	stays, _ := p.Budget("stays")
	other, _ := stays.Instance(charter, []string{"a7"})
	mortal, _ := other.InLife(12*hour, 18*hour)
	short, _ := id.InLife(12*hour, 13*hour)
	moved, _ := id.InLife(13*hour, 19*hour)
	for _, bad := range []ledger.InstanceID{id, mortal, short, moved} {
		if _, _, ok := p.Resolve(charter, bad); ok {
			t.Errorf("%s is an instance", bad)
		}
	}
	if _, _, ok := p.Resolve(charter, other); !ok {
		t.Errorf("%s is none", other)
	}
}
