package policy

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestSigners(t *testing.T) {
	src, err := os.ReadFile("testdata/good/trust.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse("trust.yaml", src)
	if err != nil {
		t.Fatal(err)
	}
	list := p.Signers()
	if len(list) != 2 || list[0].Name != "alice" || list[1].Key[0] != 0xaa || list[1].Key.String() != "ed25519:"+strings.Repeat("a", 64) {
		t.Errorf("%+v", list)
	}
	none := mustParse(t, head+"trust: {}\n")
	if none.Signers() != nil || none.Enrols() || !p.Enrols() {
		t.Errorf("%+v, enrols %v and %v", none.Signers(), none.Enrols(), p.Enrols())
	}
	// A candidate's list waits for its promotion.
	if waits, err := Tryable(none, p); err != nil || fmt.Sprint(waits) != "[trust.signers trust.enrol]" {
		t.Errorf("%v, %v", waits, err)
	}
}

func TestCheckTrust(t *testing.T) {
	one := head + "default: admit\ntrust: {signers: [{name: alice, key: ed25519:" + strings.Repeat("1", 64) + "}]}\n"
	for doc, want := range map[string]string{
		one: `only "alice" signs: if that key is lost`,
		strings.Replace(one, "}]", "}, {name: bob, key: ed25519:"+strings.Repeat("2", 64)+"}]", 1) + "rollout: {canary: 10%, by: agent, bake: 10m}\n": "a candidate is not promoted by itself",
	} {
		said := ""
		for _, w := range Check(mustParse(t, doc)) {
			said += w.String() + "\n"
		}
		if !strings.Contains(said, want) || strings.Contains(said, "only") == strings.Contains(said, "baked") {
			t.Errorf("%s\nsays %s", doc, said)
		}
	}
}

func TestEnrolNeedsSigners(t *testing.T) {
	for _, trust := range []string{"{enrol: true}", "{enrol: true, signers: []}"} {
		if _, err := Parse("doc", []byte(head+"trust: "+trust+"\n")); err == nil || !strings.Contains(err.Error(), "enrol needs signers") && !strings.Contains(err.Error(), "signers") {
			t.Errorf("%s: %v", trust, err)
		}
	}
	if p := mustParse(t, head+"trust: {enrol: false}\n"); p.Enrols() {
		t.Error("it enrols")
	}
}
