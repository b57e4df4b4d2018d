//go:build linux && (amd64 || arm64)

package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/needs"
	"github.com/swarmpurse/swarmpurse/node/store/faultdisk"
)

// failDisk makes syncs of the database fail in this process: those that end a commit's pages while the file how/pages
// exists, those that end its meta page while how/meta does. Syncs and writes of the audit log fail while how/audit does.
func failDisk(how string) error {
	meta := false // the last write was of a meta page
	return faultdisk.Process(func(c faultdisk.Call) (v faultdisk.Verdict) {
		if strings.HasSuffix(c.Path, ".seg") {
			if _, err := os.Stat(filepath.Join(how, "audit")); err == nil {
				v.Err = syscall.ENOSPC
			}
			return v
		}
		if !strings.HasSuffix(c.Path, ".db") {
			return v
		}
		switch c.Op {
		case faultdisk.Write:
			meta = c.Offset < int64(2*os.Getpagesize())
		case faultdisk.Sync:
			name := "pages"
			if meta {
				name = "meta"
			}
			if _, err := os.Stat(filepath.Join(how, name)); err == nil {
				v.Err = syscall.EIO
			}
		}
		return v
	})
}

// tenants is a policy with a grant of its own for each tenant.
const tenants = `apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
budgets:
  - {name: pot, token: compute, per: [tenant], supply: {grant: 1000000}, ceiling: hard}
rules:
  - draw: [pot]
default: deny
`

// offers makes calls of a tenant until one is refused, and returns what was admitted and the refusal.
func (p *proc) offers(tenant string, tokens ledger.Tokens) (admitted ledger.Tokens, no api.AdmitAnswer) {
	p.t.Helper()
	for {
		a, err := p.Admit(p.t.Context(), api.AdmitRequest{Tenant: tenant, Tokens: map[string]ledger.Tokens{"compute": tokens}, Wait: "0s"})
		if err != nil {
			p.t.Fatal(err)
		}
		if !a.Admitted() {
			return admitted, a
		}
		admitted += tokens
	}
}

// cannotWrite checks that a node whose directory cannot be written says so everywhere, admits a tenant what the mark on
// the disk covers and no more, and confirms nothing else. It returns what was admitted.
func (p *proc) cannotWrite(tenant, cause string) (admitted ledger.Tokens) {
	p.t.Helper()
	admitted, no := p.offers(tenant, 100)
	if no.Code != admit.CodeDisk || no.Decision != "defer" || no.RetryAfterMS <= 0 || !strings.Contains(no.Reason, "this node cannot write to its disk ("+cause+")") {
		p.t.Errorf("refused with %+v", no)
	}
	if admitted == 0 {
		p.t.Error("nothing of what the disk has on record could be spent")
	}
	if code, body := p.raw(http.MethodGet, "/readyz", ""); code != http.StatusServiceUnavailable || !strings.Contains(body, "cannot be written") || !strings.Contains(body, cause) {
		p.t.Errorf("/readyz: %d %s", code, body)
	}
	if code, body := p.raw(http.MethodPost, "/v1/mint", fmt.Sprintf(`{"budget":"pot","key":[%q],"amount":5,"id":"1"}`, tenant)); code != http.StatusServiceUnavailable || !strings.Contains(body, cause) {
		p.t.Errorf("mint: %d %s", code, body)
	}
	if code, body := p.raw(http.MethodPut, "/v1/policy", strings.Replace(tenants, "revision: 1", "revision: 2", 1)); code != http.StatusServiceUnavailable || !strings.Contains(body, cause) {
		p.t.Errorf("policy: %d %s", code, body)
	}
	if log := p.log.String(); strings.Count(log, "the data directory cannot be written") != 1 || !strings.Contains(log, cause) {
		p.t.Errorf("the log does not say once why:\n%s", p.log.last(10))
	}
	return admitted
}

// canWrite waits until the node says that it can write again, and checks that it then admits more, and that its books
// hold what was admitted.
func (p *proc) canWrite(tenant string, admitted ledger.Tokens, restarted bool) {
	p.t.Helper()
	eventually(p.t, func() error {
		st, err := p.Status(p.t.Context())
		if err == nil && !st.Ready {
			err = fmt.Errorf("not ready: %v", st.Reasons)
		}
		return err
	})
	const more = 50_000
	a, err := p.Admit(p.t.Context(), api.AdmitRequest{Tenant: tenant, Tokens: map[string]ledger.Tokens{"compute": more}, Wait: "2s"})
	if err != nil || !a.Admitted() {
		p.t.Fatalf("%+v %v", a, err)
	}
	in, err := p.instanceOf("pot", "pot/"+tenant)
	if err != nil {
		p.t.Fatal(err)
	}
	used := in.Local.Spent + in.Local.Reserved
	if used < admitted+more || !restarted && used != admitted+more || used > 1_000_000 {
		p.t.Errorf("%d tokens are booked, %d were admitted", used, admitted+more)
	}
	if in.Limit != 1_000_000 {
		p.t.Errorf("a limit of %d: the top-up that was not confirmed came into force", in.Limit)
	}
}

// TestFullDisk: what is on record is spent, all else refused; with room again the node goes on.
func TestFullDisk(t *testing.T) {
	disk, ok := needs.SmallDisk(t)
	if !ok {
		return // it ran in a namespace
	}
	ballast := filepath.Join(disk, "ballast")
	fill := func() {
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for page := make([]byte, 4096); ; {
			if _, err := f.Write(page); errors.Is(err, syscall.ENOSPC) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	free := func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	s := newSwarm(t, 1, tenants, func(set *settings) { set.Data = filepath.Join(disk, "n1") })
	p := s.nodes[0]
	p.call("a", 1000)
	fill()
	// Some commits still fit into pages of the database that are free: new tenants until one does not.
	for i := 0; ; i++ {
		a, err := p.Admit(t.Context(), api.AdmitRequest{Tenant: fmt.Sprint("other", i), Tokens: map[string]ledger.Tokens{"compute": 1000}, Wait: "0s"})
		if err != nil || i > 200 {
			t.Fatalf("%d tenants, %v", i, err)
		}
		if !a.Admitted() {
			break
		}
	}
	admitted := 1000 + p.cannotWrite("a", "no space left on device")
	free()
	p.canWrite("a", admitted, false)
	if !strings.Contains(p.log.String(), "the data directory can be written again") {
		t.Errorf("the log does not say that it can write again:\n%s", p.log.last(10))
	}

	// A start writes, too. Either that fits into free pages, or the start is refused; nothing is forgotten.
	admitted += 50_000
	fill()
	p.kill()
	if err := p.start(); err == nil {
		if in, err := p.instanceOf("pot", "pot/a"); err != nil || in.Local.Spent < admitted {
			t.Errorf("%d tokens are booked after a start on a full disk, %d were admitted (%v)", in.Local.Spent, admitted, err)
		}
		p.kill()
	} else if log := p.log.last(3); !strings.Contains(log, p.set.Data) || !strings.Contains(log, "no space left on device") || !strings.Contains(log, "hint: free space") {
		t.Errorf("a start on a full disk is refused with\n%s", log)
	}
	free()
	p.restart()
	p.canWrite("a", admitted, true)
}

// TestDiskThatCannotSync: a sync of a commit's pages that fails takes back the commit, and the node goes on when it can.
// One of its meta page leaves it open what is on the disk: the node ends, and another start finds out.
func TestDiskThatCannotSync(t *testing.T) {
	t.Parallel()
	how := t.TempDir()
	s := &swarm{t: t, dir: t.TempDir()}
	set := s.settings("n1")
	set.Policy, set.Expect, set.FailDisk = filepath.Join(s.dir, "policy.yaml"), 1, how
	if err := os.WriteFile(set.Policy, []byte(tenants), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := launch(t, set)
	if err != nil {
		if strings.Contains(err.Error(), faultdisk.ErrNotPermitted.Error()) {
			needs.Skip(t, faultdisk.ErrNotPermitted, faultdisk.Advice)
		}
		t.Fatal(err)
	}
	p.call("a", 1000)
	trigger := func(name string) (end func()) {
		path := filepath.Join(how, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	end := trigger("pages")
	admitted := 1000 + p.cannotWrite("a", "input/output error")
	end()
	p.canWrite("a", admitted, false)

	end = trigger("meta")
	_, _ = p.Admit(t.Context(), api.AdmitRequest{Tenant: "b", Tokens: map[string]ledger.Tokens{"compute": 1000}})
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, say := range []string{"unknown state", "input/output error", "hint: restart the node", p.set.Data} {
		if !strings.Contains(p.log.last(3), say) {
			t.Errorf("the node's last words do not say %q:\n%s", say, p.log.last(3))
		}
	}
	refused(t, "a start on a disk that does not sync", p.set, p.set.Data, "input/output error", "hint: ")
	end()
	p.restart()
	p.canWrite("a", admitted+50_000, true)
}

// call makes one call of a tenant that must be admitted.
func (p *proc) call(tenant string, tokens ledger.Tokens) {
	p.t.Helper()
	a, err := p.Admit(p.t.Context(), api.AdmitRequest{Tenant: tenant, Tokens: map[string]ledger.Tokens{"compute": tokens}})
	if err != nil || !a.Admitted() {
		p.t.Fatalf("%+v %v", a, err)
	}
}

// TestFullAuditLog: a node whose audit log cannot be written defers calls where the policy says refuse, and goes on where it says
// drop. Once there is room again what waited is written, and the log is whole.
func TestFullAuditLog(t *testing.T) {
	t.Parallel()
	for _, onFull := range []string{"refuse", "drop"} {
		t.Run(onFull, func(t *testing.T) {
			t.Parallel()
			how := t.TempDir()
			s := newSwarm(t, 1, tenants+"audit: {on_full: "+onFull+"}\n", func(set *settings) { set.FailDisk = how })
			p := s.nodes[0]
			call := func() api.AdmitAnswer {
				a, err := p.Admit(t.Context(), api.AdmitRequest{Tenant: "search", Tokens: map[string]ledger.Tokens{"compute": 10}})
				if err != nil {
					t.Fatal(err)
				}
				if a.Admitted() {
					p.settle(a.ID)
				}
				return a
			}
			call()
			full := filepath.Join(how, "audit")
			if err := os.WriteFile(full, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			calls := 1
			eventually(t, func() error {
				a := call()
				calls++
				st, err := p.AuditStatus(t.Context())
				switch {
				case err != nil:
					return err
				case !strings.Contains(st.Failing, "no space left on device"):
					return fmt.Errorf("not failing: %+v", st)
				case onFull == "refuse" && (a.Code != admit.CodeAudit || a.Decision != "defer"):
					return fmt.Errorf("%+v", a)
				}
				return nil
			})
			if a := call(); a.Admitted() != (onFull == "drop") {
				t.Errorf("%+v", a)
			}
			calls++
			if err := os.Remove(full); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() error {
				if a := call(); !a.Admitted() {
					calls++
					return fmt.Errorf("%+v", a)
				}
				calls++
				st, err := p.AuditStatus(t.Context())
				if err == nil && st.Failing != "" {
					err = errors.New(st.Failing)
				}
				return err
			})
			list, err := p.AuditRecords(t.Context(), api.AuditQuery{Kind: "decision", Limit: 1000})
			if st, serr := p.AuditStatus(t.Context()); err != nil || serr != nil || len(list) != calls || st.Dropped != 0 {
				t.Errorf("%d decisions of %d, %d dropped (%v %v)", len(list), calls, st.Dropped, err, serr)
			}
			p.kill()
			if r, err := node.VerifyAudit(filepath.Join(p.set.Data, "audit"), "", nil); err != nil || !r.OK {
				t.Errorf("%+v %v", r, err)
			}
		})
	}
}
