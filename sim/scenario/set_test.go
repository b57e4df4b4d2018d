package scenario

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

const setDocument = `# what it is
name: old # a comment
nodes: 5
text: "quoted \" text"
other: 'it''s'
network: {loss: 5%, same_zone: {median: 1ms, p99: 2ms}}
zones: [{name: a}, {name: b, weight: 2}]
policy:
  revision: 1
  budgets:
    - name: pool
      supply: {rate: 1k/s}
    - name: day
      note: |
        several
        lines
ünïcode: {ä: 1, b: 2}
empty: {}
nothing:
anchor: &x 3
alias: *x
`

func TestSet(t *testing.T) {
	for _, c := range []struct {
		path, value string
		old, new    string // what changes in the document
	}{
		{"nodes", "500", "nodes: 5\n", "nodes: 500\n"},
		{"name", "new", "old # a", "new # a"},
		{"text", "plain", `"quoted \" text"`, "plain"},
		{"other", "x", "'it''s'", "x"},
		{"name", "two: words", "old # a", `"two: words" # a`},
		{"name", "a # b", "old # a", `"a # b" # a`},
		{"name", "[a, b]", "old # a", "[a, b] # a"},
		{"network.loss", "10%", "loss: 5%", "loss: 10%"},
		{"network.loss", "10%, b: c", "loss: 5%", `loss: "10%, b: c"`},
		{"network.loss", "a}", "loss: 5%", `loss: "a}"`},
		{"network.same_zone", "3ms", "{median: 1ms, p99: 2ms}", "3ms"},
		{"network.same_zone.p99", "3ms", "p99: 2ms", "p99: 3ms"},
		{"network.reorder", "1%", "{loss: 5%", "{reorder: 1%, loss: 5%"},
		{"network.other_zone.p99", "1s", "{loss: 5%", "{other_zone: {p99: 1s}, loss: 5%"},
		{"zones.1.weight", "9", "weight: 2", "weight: 9"},
		{"zones.b.weight", "9", "weight: 2", "weight: 9"},
		{"zones.a.weight", "9", "{name: a}", "{weight: 9, name: a}"},
		{"zones", "[{name: c}]", "[{name: a}, {name: b, weight: 2}]", "[{name: c}]"},
		{"policy.budgets.0.supply.rate", "2k/s", "1k/s", "2k/s"},
		{"policy.budgets.pool.supply.burst", "5k", "{rate:", "{burst: 5k, rate:"},
		{"policy.budgets.pool.price.base", "3", "- name: pool\n", "- price: {base: 3}\n      name: pool\n"},
		{"policy.zone", "UTC", "  revision: 1\n", "  zone: UTC\n  revision: 1\n"},
		{"disk.sync", "5ms", "name: old", "disk: {sync: 5ms}\nname: old"},
		{"ünïcode.b", "7", "b: 2", "b: 7"},
		{"empty.x", "1", "empty: {}", "empty: {x: 1}"},
		{"alias", "4", "*x", "4"},
	} {
		want := strings.Replace(setDocument, c.old, c.new, 1)
		got, err := Set([]byte(setDocument), c.path, c.value)
		if err != nil || string(got) != want {
			t.Errorf("%s=%s: error %v, got\n%s", c.path, c.value, err, got)
		}
	}
}

func TestWhatCannotBeSet(t *testing.T) {
	for _, c := range []struct{ path, value, want string }{
		{"zones.2.weight", "1", `zones.2.weight: zones has no entry "2"; it has 2, counted from 0`},
		{"zones.c.weight", "1", `zones.c.weight: zones has no entry "c"; it has 2, counted from 0`},
		{"nodes.x", "1", "nodes.x: nodes is the number 5 and has no fields"},
		{"alias.x", "1", "alias.x: alias is an alias (*x), which cannot be changed here alone"},
		{"anchor", "1", "anchor: it has an anchor (&x), so it cannot be changed here"},
		{"", "1", ": write it as in network.loss or workload.0.rate"},
		{"network..loss", "1", "network..loss: write it as in network.loss or workload.0.rate"},
		{"policy", "1", "policy: it goes over several lines: set its parts, or change it in the file"},
		{"policy.budgets.day.note", "x", "policy.budgets.day.note: it goes over several lines: set its parts, or change it in the file"},
		{"nothing", "x", "nothing: it is empty: write a value into the file"},
		{"faults.0.at", "1s", "faults.0.at: there is no list that could have an entry 0"},
		{"a b", "1", `a b: "a b" is no field's name`},
		{"nodes", "1\n2", "nodes: the value must be printable text on one line, of at most 4096 bytes"},
	} {
		if _, err := Set([]byte(setDocument), c.path, c.value); err == nil || err.Error() != c.want {
			t.Errorf("%s=%q: error %v, want %s", c.path, c.value, err, c.want)
		}
	}
	if _, err := Set([]byte("a: ["), "a", "1"); err == nil || !strings.Contains(err.Error(), "not valid YAML") {
		t.Errorf("a document that is none: error %v", err)
	}
}

// Whatever is set where something stands, it is there afterwards, and all else is as it was.
func TestSetLaw(t *testing.T) {
	paths := []string{"name", "text", "other", "network.loss", "network.same_zone.p99", "zones.0.name", "zones.1.weight", "policy.revision",
		"policy.budgets.0.supply.rate", "ünïcode.ä", "ünïcode.b", "network.new", "policy.new", "policy.budgets.0.new", "empty.new", "brand.new"}
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom(paths).Draw(t, "path")
		value := rapid.OneOf(rapid.StringMatching(`[a-z0-9 :,#{}\[\]"'%.&*!|>-]{1,8}`), rapid.String()).Draw(t, "value")
		got, err := Set([]byte(setDocument), path, value)
		if err != nil {
			if strings.Contains(err.Error(), "must be printable") || strings.Contains(err.Error(), "cannot stand there") {
				return
			}
			t.Fatal(err)
		}
		var before, after map[string]any
		if err := yaml.Load([]byte(setDocument), &before); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Load(got, &after); err != nil {
			t.Fatalf("%v in\n%s", err, got)
		}
		value = strings.Trim(value, " \t")
		var want any = value // text, unless it is YAML
		if _, ok := flow(value); ok {
			if err := yaml.Load([]byte(value), &want); err != nil {
				t.Fatal(err)
			}
		}
		into, parts := any(before), strings.Split(path, ".")
		for _, part := range parts[:len(parts)-1] {
			switch x := into.(type) {
			case map[string]any:
				if x[part] == nil {
					x[part] = map[string]any{}
				}
				into = x[part]
			case []any:
				into = x[part[0]-'0']
			}
		}
		into.(map[string]any)[parts[len(parts)-1]] = want
		if a, b := fmt.Sprintf("%#v", before), fmt.Sprintf("%#v", after); a != b {
			t.Fatalf("%s=%q gives\n%s\nwhich is\n%s, want\n%s", path, value, got, b, a)
		}
	})
}
