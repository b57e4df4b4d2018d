package policy

import (
	"strings"
	"testing"
)

func TestAudit(t *testing.T) {
	for say, want := range map[string]Audit{
		"":                                       {1_000_000, 1_000_000, false},
		"audit: {}":                              {1_000_000, 1_000_000, false},
		"audit: {decisions: all, on_full: drop}": {1_000_000, 1_000_000, false},
		"audit: {decisions: refusals}":           {0, 1_000_000, false},
		"audit: {decisions: none, on_full: refuse}": {0, 0, true},
		"audit: {decisions: 2.5%, on_full: refuse}": {25_000, 25_000, true},
		"audit: {decisions: \"100%\"}":              {1_000_000, 1_000_000, false},
	} {
		p, err := Parse("p.yaml", []byte("apiVersion: swarmpurse/v1\nrevision: 1\n"+say+"\n"))
		if err != nil {
			t.Errorf("%s: %v", say, err)
		} else if p.Audit() != want {
			t.Errorf("%s: %+v, want %+v", say, p.Audit(), want)
		}
	}
	for say, want := range map[string]string{
		"audit: {decisions: some}": "decisions cannot be some",
		"audit: {decisions: 101%}": "101%",
		"audit: {decisions: 5}":    "decisions cannot be 5",
		"audit: {on_full: wait}":   "on_full cannot be wait",
		"audit: {prompts: true}":   `unknown field "prompts"`,
		"audit: all":               "audit",
	} {
		_, err := Parse("p.yaml", []byte("apiVersion: swarmpurse/v1\nrevision: 1\n"+say+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", say, err, want)
		}
	}
}
