package node

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/policy"
)

// A tenant is shown what is its own of a node's budgets, decisions, freezes and metrics, and nothing of another's; an operator all.
func TestIsolation(t *testing.T) {
	n, _ := onDisk(t)
	var ids [2]string
	tenants := [2]string{"search", "ads/search"} // the second one's name is made to pass for the first one's instance
	for i, tenant := range tenants {
		a, err := n.onGoodDisk(t.Context(), ask(tenant, ledger.Tokens(10*(i+1))))
		if err != nil || !a.Verdict.Admitted() {
			t.Fatalf("%+v, %v", a, err)
		}
		ids[i] = a.ID
		if _, err := n.Freeze(t.Context(), api.FreezeRequest{Tenant: tenant, Agent: "x"}, true); err != nil {
			t.Fatal(err)
		}
	}
	for i, tenant := range tenants {
		mine, other := api.View{Tenant: tenant}, tenants[1-i]
		for _, b := range n.Budgets(mine) {
			switch {
			case b.Name == "day" && (len(b.Instances) > 0 || !b.Withheld):
				t.Errorf("%s sees the use of a budget that others share: %+v", tenant, b)
			case b.Name == "tenant-day" && (len(b.Instances) != 1 || b.Instances[0].Instance != "tenant-day/"+url.PathEscape(tenant)):
				t.Errorf("%s sees %+v of its own budget", tenant, b.Instances)
			}
		}
		all, err := n.Budget("tenant-day", api.View{All: true})
		if err != nil || len(all.Instances) != 2 {
			t.Fatalf("%+v, %v", all, err)
		}
		seen := 0
		for _, x := range all.Instances {
			if _, err := n.Instance(x.Instance, mine); err == nil {
				seen++
			}
		}
		if seen != 1 {
			t.Errorf("%s sees %d instances by name", tenant, seen)
		}
		if of, err := n.TenantOf(ids[i]); err != nil || of != tenant {
			t.Errorf("%s is %q's, %v", ids[i], of, err)
		}
		if f := n.Frozen(mine); len(f) != 1 || f[0].Tenant != tenant {
			t.Errorf("%s sees frozen %+v", tenant, f)
		}
		w := httptest.NewRecorder()
		n.tenantMetrics(tenant).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		lines := 0
		for line := range strings.SplitSeq(w.Body.String(), "\n") {
			if strings.HasPrefix(line, "#") || line == "" {
				continue
			}
			if lines++; !strings.Contains(line, fmt.Sprintf("tenant=%q", tenant)) || strings.Contains(line, fmt.Sprintf("tenant=%q", other)) {
				t.Errorf("%s sees %s", tenant, line)
			}
		}
		if lines < 6 || !strings.Contains(w.Body.String(), "swarmpurse_tenant_reserved_tokens{") {
			t.Errorf("%s sees %d series:\n%s", tenant, lines, w.Body)
		}
	}
	if _, err := n.TenantOf("nobody.0000000000000000"); err == nil {
		t.Error("an id of nobody's has a tenant")
	}
	if f := n.Frozen(api.View{All: true}); len(f) != 2 {
		t.Errorf("an operator sees frozen %+v", f)
	}
}

func TestWhatIsFrozenTouches(t *testing.T) {
	p, err := policy.Parse("p", []byte(`
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
budgets:
  - {name: pool, token: compute, supply: {grant: 1M}}
  - {name: by-tenant, token: compute, per: [agent, tenant], supply: {grant: 1M}}
  - {name: by-agent, token: compute, per: [agent], supply: {grant: 1M}}
rules: [{draw: [pool]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		of   freeze.Key
		want bool
	}{
		{freeze.Key{Tenant: "a"}, true}, {freeze.Key{Tenant: "b"}, false}, {freeze.Key{Tenant: "a", Agent: "x"}, true}, {freeze.Key{Agent: "x"}, false},
		{freeze.Key{Instance: "pool"}, true}, {freeze.Key{Instance: "by-tenant/x/a"}, true}, {freeze.Key{Instance: "by-tenant/a/x"}, false},
		{freeze.Key{Instance: "by-tenant/x/a%2Fb"}, false}, {freeze.Key{Instance: "by-agent/a"}, false}, {freeze.Key{Instance: "gone/a"}, false}, {freeze.Key{Instance: "by-tenant"}, false},
	} {
		if got := touches(p, &freeze.Word{Key: tt.of}, api.View{Tenant: "a"}); got != tt.want {
			t.Errorf("%v touches a: %v", tt.of, got)
		}
		if !touches(p, &freeze.Word{Key: tt.of}, api.View{All: true}) {
			t.Errorf("%v is hidden from an operator", tt.of)
		}
	}
}

// Keys come and go with the policy in force, without a restart.
func TestCallersFollowThePolicy(t *testing.T) {
	n, _ := onDisk(t)
	if n.callers.Load().Len() != 0 {
		t.Fatal("there are keys")
	}
	key := caller.NewKey()
	with := fmt.Sprintf("%srevision: 2\ncallers:\n  - {name: a, key: \"sha256:%x\", tenant: search}\n", strings.Replace(string(n.policy.Load().policy.Source()), "revision: 1\n", "", 1), caller.Hash(key))
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: []byte(with)}); err != nil {
		t.Fatal(err)
	}
	if c, err := n.callers.Load().Find(key, n.started); err != nil || c.Tenant != "search" {
		t.Errorf("%v, %v", c, err)
	}
	// What it is let in for is told of by its name, never by itself.
	r := httptest.NewRequest("POST", "/v1/admit", strings.NewReader(`{"prompt_tokens":5}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	n.server.Handler().ServeHTTP(w, r)
	var a api.AdmitAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.ID == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	records, err := n.AuditRecords(api.AuditQuery{Caller: "a", Limit: 10})
	if err != nil || len(records) != 1 || records[0].ID != a.ID || records[0].Tenant != "search" {
		t.Errorf("%+v, %v", records, err)
	}
	if d, err := n.Decision(a.ID); err != nil || d.Caller != "a" {
		t.Errorf("%+v, %v", d, err)
	}
	without := strings.Replace(with[:strings.Index(with, "callers:")], "revision: 2", "revision: 3", 1)
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: []byte(without)}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.callers.Load().Find(key, n.started); err == nil {
		t.Error("a key that was taken back is known")
	}
}
