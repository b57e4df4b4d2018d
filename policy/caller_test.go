package policy

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestCallers(t *testing.T) {
	src, err := os.ReadFile("testdata/good/callers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list := mustParse(t, string(src)).Callers()
	if len(list) != 3 {
		t.Fatalf("%d callers", len(list))
	}
	ops, crawler, both := list[0], list[1], list[2]
	if ops.Name != "ops-1" || !ops.Operator || ops.Tenant != "" || ops.Key != sha256.Sum256([]byte("sp_a")) || ops.Expires != 0 || ops.Rate() != "" {
		t.Errorf("%+v", ops)
	}
	if crawler.Tenant != "search & find" || crawler.Agent != "crawler" || fmt.Sprint(crawler.Classes) != "[batch standard]" || crawler.Operator ||
		time.UnixMilli(int64(crawler.Expires)).UTC().Format(time.RFC3339) != "2027-01-31T00:00:00Z" ||
		crawler.Rate() != "300/m" || crawler.Burst != 20 || crawler.Concurrency != 4 {
		t.Errorf("%+v", crawler)
	}
	if both.Tenant != "ops" || !both.Operator || time.UnixMilli(int64(both.Expires)).UTC().Hour() != 12 || both.Rate() != "2/s" || both.Burst != 2 {
		t.Errorf("%+v", both)
	}
}

func TestCheckCallers(t *testing.T) {
	key := func(s string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s))) }
	p := mustParse(t, head+"default: admit\nclasses: [{name: standard}]\ncallers:\n"+
		"  - {name: a, key: "+key("a")+", tenant: t, classes: [standard, royal]}\n")
	want := `p.yaml:6:5: warning: caller "a" may use class "royal", and there is none of that name
p.yaml:6:5: warning: no caller is an operator: policies can then be changed on a node's own machine only
p.yaml:1:1: warning: there are no rules, so every call is admitted uncounted`
	if got := warnings(p); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	p = mustParse(t, head+"default: admit\ncallers:\n  - {name: o, key: "+key("o")+", operator: true, agent: x}\n")
	if got := warnings(p); !strings.Contains(got, `p.yaml:5:5: warning: caller "o" has no tenant, so it makes no calls, and its classes and agent do nothing`) {
		t.Error(got)
	}
}

func warnings(p *Policy) string {
	var list []string
	for _, w := range Check(p) {
		list = append(list, w.String())
	}
	return strings.Join(list, "\n")
}

// A key that may use only some classes does not come to others by points.
func TestLifts(t *testing.T) {
	p := mustParse(t, head+"classes: [{name: best, weight: 9}, {name: standard, weight: 4}, {name: batch}]\n")
	for _, tt := range []struct {
		classes []string
		class   string
		want    bool
	}{
		{nil, "batch", true},
		{[]string{"batch"}, "batch", false},
		{[]string{"batch", "standard"}, "batch", true},
		{[]string{"batch", "standard"}, "standard", false},
		{[]string{"batch", "best"}, "batch", false}, // points buy one class, not two
		{[]string{"best"}, "best", false},           // there is none above
		{[]string{"royal"}, "royal", false},
	} {
		if got := p.Lifts(&Caller{Classes: tt.classes}, tt.class); got != tt.want {
			t.Errorf("%v of %v: %v", tt.class, tt.classes, got)
		}
	}
}

// A candidate's callers wait for its promotion: a key is the same for all calls of a node.
func TestCallersWaitForPromotion(t *testing.T) {
	key := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("a")))
	stable := mustParse(t, head+"callers: [{name: a, key: "+key+", tenant: t}]\n")
	candidate := mustParse(t, head+"callers: [{name: a, key: "+key+", tenant: u}]\n")
	if waits, err := Tryable(stable, candidate); err != nil || fmt.Sprint(waits) != "[callers]" {
		t.Errorf("%v, %v", waits, err)
	}
	if waits, err := Tryable(stable, stable); err != nil || waits != nil {
		t.Errorf("%v, %v", waits, err)
	}
}
