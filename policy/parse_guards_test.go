package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

func TestGuards(t *testing.T) {
	for _, c := range []struct {
		fields string
		want   ledger.Guards
		err    string
	}{
		{"", ledger.Guards{Guardians: 3, Lease: 600_000, Autonomy: 300_000}, ""},
		{"guardians: 5\nlease: 20s\nautonomy: 1m", ledger.Guards{Guardians: 5, Lease: 20_000, Autonomy: 60_000}, ""},
		{"guardians: 0", ledger.Guards{Guardians: 0, Lease: 600_000, Autonomy: 300_000}, ""},
		{"guardians: 4", ledger.Guards{}, "p.yaml:3:12: guardians cannot be 4; write 3 or 5, or 0 for none"},
		{"guardians: few", ledger.Guards{}, "p.yaml:3:12: guardians cannot be few"},
		{"lease: 9s", ledger.Guards{}, "p.yaml:3:8: lease is 9s, from 10s to 24h0m0s is allowed"},
		{"lease: 3", ledger.Guards{}, "p.yaml:3:8: lease: duration \"3\" has no unit"},
		{"autonomy: 25h", ledger.Guards{}, "p.yaml:3:11: autonomy is 25h0m0s, from 1s to 24h0m0s is allowed"},
	} {
		src := fmt.Sprintf("apiVersion: swarmpurse/v1\nrevision: 1\n%s\n", c.fields)
		p, err := Parse("p.yaml", []byte(src))
		switch {
		case c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)):
			t.Errorf("%s\ngot  %v\nwant %s…", c.fields, err, c.err)
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.fields, err)
		case c.err == "" && p.Guards() != c.want:
			t.Errorf("%s: %+v, want %+v", c.fields, p.Guards(), c.want)
		}
	}
}
