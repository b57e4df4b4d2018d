package main

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/node/api"
)

func TestStanding(t *testing.T) {
	for _, c := range []struct {
		of   api.Standing
		want string
	}{
		{api.Standing{Instance: "pool", Asked: 59.6, Share: 300, Small: true, Under: true}, "pool: its tenant asked for less than its share in the swarm (60/s here) and went first"},
		{api.Standing{Instance: "pool", Asked: 900, Share: 300, Under: true}, "pool: its tenant asked for 900/s here, its share was 300/s, of which it had had less: it went before those that had had theirs"},
		{api.Standing{Instance: "pool", Asked: 900, Share: 300}, "pool: its tenant asked for 900/s here, its share was 300/s, which it had had: it went after those that had had less"},
	} {
		if got := standing([]api.Standing{c.of}); got != c.want {
			t.Errorf("%+v: %q", c.of, got)
		}
	}
	if got := standing(nil); got != "" {
		t.Errorf("where there is enough: %q", got)
	}
}
