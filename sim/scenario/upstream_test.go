package scenario

import (
	"strings"
	"testing"
)

func TestUpstreamMistakes(t *testing.T) {
	const doc = `apiVersion: swarmpurse/v1
name: x
nodes: 2
duration: 10s
zones: [{name: eu}, {name: us}]
policy:
  apiVersion: swarmpurse/v1
  revision: 1
  tokens: {c: {unit: request}}
  upstreams: [{name: near, zones: [eu]}]
  budgets: [{name: b, token: c, supply: {grant: 5}}]
  rules: [{draw: [b]}]
`
	for _, tt := range []struct{ add, want string }{
		{"upstreams: [{name: far}]\nworkload: [{kind: poisson, rate: 1/s, prompt: 1, output: 1}]\n", `x.yaml:13:20: the policy has no upstream "far"`},
		{"upstreams: [{name: near, zone: asia}]\nworkload: [{kind: poisson, rate: 1/s, prompt: 1, output: 1}]\n", `unknown zone "asia"`},
		{"upstreams: [{name: near}, {name: near}]\nworkload: [{kind: poisson, rate: 1/s, prompt: 1, output: 1}]\n", `upstream "near" is given twice`},
		{"workload: [{kind: poisson, rate: 1/s, prompt: 1, output: 1, stays: [asia]}]\n", `unknown zone "asia"`},
		{"workload: [{kind: poisson, rate: 1/s, prompt: 1, output: 1, data: [a@b]}]\n", `what follows the @ must be a digest`},
		{"upstreams: [{name: near, length: 0}]\nworkload: [{kind: poisson, rate: 1/s, prompt: 1, output: 1}]\n", `x.yaml:13:34: answers cannot be 0 times as long`},
		{"upstreams: [{name: near, length: 101}]\nworkload: [{kind: poisson, rate: 1/s, prompt: 1, output: 1}]\n", `answers cannot be 101 times as long`},
		{"upstreams: [{name: near, zone: eu, begins: 5ms, length: 1.5}]\nworkload: [{kind: poisson, rate: 1/s, prompt: 1, output: 1, data: [a], stays: [eu]}]\n", ""},
	} {
		s, err := Parse("x.yaml", []byte(doc+tt.add))
		switch {
		case tt.want == "" && (err != nil || len(s.Upstreams) != 1 || s.Upstreams[0].Zone != "eu" || s.Upstreams[0].Length != 1.5 || s.Workload[0].Data[0] != "a" || s.Workload[0].Stays[0] != "eu"):
			t.Errorf("%v, %+v", err, s)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v\nwant %s", tt.add, err, tt.want)
		}
	}
}
