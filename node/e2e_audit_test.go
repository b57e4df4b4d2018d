//go:build unix

package node_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/identity"
	"github.com/swarmpurse/swarmpurse/node/store"
)

const auditPolicy = `
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes: [{name: standard, weight: 1, latency_budget: 2s, objective: 99%}]
budgets:
  - {name: pot, token: compute, supply: {grant: 3000000}}
rules: [{draw: [pot]}]
`

// TestOneTrace follows one correlation id from the caller's header through the decision, the call to the provider, the settlement
// and the audit log.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	const trace, header = "4bf92f3577b34da6a3ce929d0e0e4736", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	var seen string
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Get("Traceparent")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"SECRET-ANSWER"}}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}`)
	}))
	defer up.Close()
	s := newSwarm(t, 1, auditPolicy, func(set *settings) { set.Upstreams = []string{"openai=" + up.URL + "/v1"} })
	p := s.nodes[0]
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.set.HTTP+"/openai/v1/chat/completions",
		strings.NewReader(`{"model":"gpt-4o","max_completion_tokens":20,"messages":[{"role":"user","content":"SECRET-PROMPT"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", header)
	req.Header.Set("X-Swarmpurse-Tenant", "search")
	req.Header.Set("X-Swarmpurse-Agent", "crawler")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", resp.StatusCode, body, err)
	}
	if seen != header {
		t.Errorf("the provider was sent %q", seen)
	}
	id := resp.Header.Get("X-Swarmpurse-Decision")
	d, err := p.Decision(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if d.TraceID != trace || d.SpanID != "00f067aa0ba902b7" || d.State != "settled" || d.Usage == nil || *d.Usage != (api.AuditUsage{Prompt: 9, Output: 4}) ||
		d.MaxOutput != 20 || len(d.Rights) != 1 || d.Rights[0].Before-d.Rights[0].After != d.Reserved[0].Amount || d.AuditIndex == nil {
		t.Errorf("explain: %+v", d)
	}
	if v := d.Service; v == nil || v.Result != "met" || v.Objective != 0.99 || v.LatencyBudgetMS != 2000 || v.Met != 1 || v.Missed != 0 || len(v.Burn) != 4 {
		t.Errorf("explain: its objective %+v", v)
	}
	if len(d.Drift) != 1 || d.Drift[0].Model != "gpt-4o" || d.Drift[0].Output != 4 || d.Drift[0].OutputUsual != -1 || len(d.Drift[0].Costs) != 1 || d.Drift[0].Costs[0] != (api.DriftCost{Budget: "pot", Late: 13, Usual: 13}) {
		t.Errorf("explain: drift %+v", d.Drift)
	}
	large, err := p.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 5_000_000}})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := p.Decision(t.Context(), large.ID); err != nil || d.Service == nil || d.Service.Result != "excused" {
		t.Errorf("explain of a call that is too large: %+v, %v", d.Service, err)
	}
	byTrace, err := p.AuditRecords(t.Context(), api.AuditQuery{Trace: trace})
	if err != nil || len(byTrace) != 2 || byTrace[0].ID != id || byTrace[0].Tenant != "search" || byTrace[0].Agent != "crawler" || byTrace[1].ID != id || byTrace[1].Kind != "end" {
		t.Fatalf("%+v %v", byTrace, err)
	}
	byID, err := p.AuditRecords(t.Context(), api.AuditQuery{ID: id})
	if err != nil || len(byID) != 2 || byID[1].Kind != "end" || byID[1].State != "settled" || byID[1].Draws[0].Amount != 13 {
		t.Fatalf("%+v %v", byID, err)
	}
	// After a restart the engine has forgotten it; the log has not.
	p.terminate()
	p.restart()
	s.ready()
	again, err := p.Decision(t.Context(), id)
	if err != nil || again.TraceID != trace || again.State != "settled" || again.Reason != d.Reason || again.Charged[0].Amount != 13 || again.Usage == nil {
		t.Errorf("explain after a restart: %+v, %v", again, err)
	}
	// What was said is nowhere in it.
	for _, e := range must(filepath.Glob(filepath.Join(p.set.Data, "audit", "*"))) {
		if b, err := os.ReadFile(e); err != nil || bytes.Contains(b, []byte("SECRET")) {
			t.Errorf("%s holds what was said, or cannot be read: %v", e, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestRewrittenAuditLog: while a node is stopped, somebody who has its key writes its audit log anew, with one record changed. The
// log is whole in itself; the checkpoints that its peers keep prove that it was changed, and where. Once the node is back, peers
// and the node itself raise the alarm.
func TestRewrittenAuditLog(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 3, auditPolicy)
	n1, n2, n3 := s.nodes[0], s.nodes[1], s.nodes[2]
	var bad string
	eventually(t, func() error { // n2 has rights by now
		a, err := n2.Admit(t.Context(), api.AdmitRequest{Tenant: "mallory", Tokens: map[string]ledger.Tokens{"compute": 500}})
		if err == nil && !a.Admitted() {
			err = fmt.Errorf("%+v", a)
		}
		bad = a.ID
		return err
	})
	if _, err := n2.Settle(t.Context(), api.SettleRequest{ID: bad}); err != nil {
		t.Fatal(err)
	}
	rec, err := n2.AuditRecords(t.Context(), api.AuditQuery{ID: bad, Kind: "decision"})
	if err != nil || len(rec) != 1 {
		t.Fatalf("%+v %v", rec, err)
	}
	record := rec[0].Index
	eventually(t, func() error { // both peers have countersigned it
		st, err := n2.AuditStatus(t.Context())
		if err != nil {
			return err
		}
		if len(st.Witnesses) < 2 || st.Witnesses[0].Size <= record || st.Witnesses[1].Size <= record {
			return fmt.Errorf("record %d: %+v", record, st.Witnesses)
		}
		return nil
	})
	n2.terminate()
	dir := filepath.Join(n2.set.Data, "audit")
	seen := func() (all []api.AuditSighting) {
		for _, p := range []*proc{n1, n3} {
			list, err := p.AuditSightings(t.Context(), "n2")
			if err != nil || len(list) == 0 {
				t.Fatalf("%s: %v, %v", p.set.Name, list, err)
			}
			all = append(all, list...)
		}
		return all
	}
	if r, err := node.VerifyAudit(dir, "", seen()); err != nil || !r.OK || r.Peers[0].Verdict != audit.Proved {
		t.Fatalf("before: %+v %v", r, err)
	}
	rewrite(t, n2.set.Data, func(r *audit.Record) {
		if r.ID == bad {
			r.Tenant = "search"
		}
	})
	if r, err := node.VerifyAudit(dir, "", nil); err != nil || !r.OK {
		t.Fatalf("the forged log is not whole in itself: %+v %v", r, err)
	}
	r, err := node.VerifyAudit(dir, "", seen())
	if err != nil || r.OK {
		t.Fatalf("not found: %+v %v", r, err)
	}
	if p := r.Problems[0]; p.Record > record || p.Last < record {
		t.Errorf("record %d was changed; found %+v", record, p)
	}
	n2.restart()
	eventually(t, func() error {
		for _, p := range s.nodes {
			st, err := p.AuditStatus(t.Context())
			if err != nil {
				return err
			}
			if len(st.Alarms) == 0 || st.Alarms[0].Of != "n2" {
				return fmt.Errorf("%s: %+v", p.set.Name, st.Alarms)
			}
		}
		return nil
	})
	if alarms, err := n1.AuditRecords(t.Context(), api.AuditQuery{Kind: "alarm"}); err != nil || len(alarms) != 1 || alarms[0].Peer != "n2" {
		t.Errorf("%+v %v", alarms, err)
	}
	if !strings.Contains(n1.log.String(), `"kind":"fork"`) {
		t.Error("n1's log does not tell")
	}
	ms, err := n1.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		if (m.Name == "n2") != (m.AuditAlarm != "") {
			t.Errorf("members: %+v", m)
		}
	}
}

// rewrite writes a stopped node's audit log anew, signed with the node's own key.
func rewrite(t *testing.T, data string, change func(*audit.Record)) {
	t.Helper()
	st, err := store.Open(store.Options{Dir: data, Node: "n2", Cluster: "e2e", Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	seed, err := st.Get(store.Meta, "identity/ed25519")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	key, kerr := identity.Load("n2", seed)
	if err != nil || kerr != nil {
		t.Fatal(err, kerr)
	}
	old, dir := filepath.Join(data, "audit"), filepath.Join(data, "forged")
	l, _, err := audit.Open(audit.Options{Dir: dir, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	d, err := audit.OpenDir(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Each(0, func(e *audit.Entry) bool {
		change(&e.Record)
		if err := l.Append(e.Record.At, [][]byte{audit.Append(nil, &e.Record)}); err != nil {
			t.Fatal(err)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// What it witnessed of others stays.
	if err := os.Rename(filepath.Join(old, "witnessed.json"), filepath.Join(dir, "witnessed.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(old); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, old); err != nil {
		t.Fatal(err)
	}
}

// TestWhatACallWaitedFor: a call that its node's own rights do not cover waits until a peer has given some, and explain tells of that
// transfer, also when the node has forgotten the decision.
func TestWhatACallWaitedFor(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 2, auditPolicy)
	const all = 3_000_000
	here := func(p *proc) (local, swarm ledger.Tokens) {
		b, err := p.Budget(t.Context(), "pot")
		if err != nil || len(b.Instances) != 1 {
			return 0, 0
		}
		return b.Instances[0].Local.Rights, b.Instances[0].Swarm.Rights
	}
	eventually(t, func() error { // the instance is opened, and all is known to both
		for _, p := range s.nodes {
			a, err := p.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 1}})
			if err != nil {
				return err
			}
			if a.Admitted() {
				if _, err := p.Release(t.Context(), a.ID); err != nil {
					return err
				}
			}
		}
		for _, p := range s.nodes {
			if _, swarm := here(p); swarm != all {
				return fmt.Errorf("%s knows of %d", p.set.Name, swarm)
			}
		}
		return nil
	})
	p, from := s.nodes[0], "n2"
	if local, _ := here(p); local > all/2 {
		p, from = s.nodes[1], "n1"
	}
	local, _ := here(p)
	a, err := p.Admit(t.Context(), api.AdmitRequest{Tenant: "search", Tokens: map[string]ledger.Tokens{"compute": all * 9 / 10}, Wait: "20s"})
	if err != nil || !a.Admitted() || a.WaitedMS == 0 {
		t.Fatalf("with rights of %d: %+v %v", local, a, err)
	}
	check := func(when string) {
		d, err := p.Decision(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		sum := ledger.Tokens(0)
		for _, m := range d.Transfers {
			if m.From != from || m.Instance != "pot" || m.At.After(d.At) {
				t.Errorf("%s: %+v", when, m)
			}
			sum += m.Tokens
		}
		if sum < all*9/10-local || len(d.Rights) != 1 || d.Rights[0].Before-d.Rights[0].After != all*9/10 {
			t.Errorf("%s: with %d it waited for %d: %+v", when, local, sum, d)
		}
	}
	check("at once")
	p.terminate()
	p.restart()
	s.ready()
	check("after a restart")
}
