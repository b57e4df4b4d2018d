package client_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/client"
)

const document = `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
  seat: {unit: slot}
classes:
  - {name: standard, weight: 4, latency_budget: 30s, default: true}
  - {name: batch, weight: 1, latency_budget: 30s}
budgets:
  - {name: pool, token: compute, supply: {grant: 1000000}}
  - {name: tenant-pot, token: compute, per: [tenant], supply: {grant: 100000}}
  - {name: seats, token: seat, per: [tenant], supply: {slots: 1}}
rules:
  - {when: model == "seat", draw: [seats], stop: true}
  - {when: model == "large", draw: [pool], degrade: {below: 100%, model: small, max_output_tokens: 5}, stop: true}
  - {when: model != "nothing", draw: [pool, tenant-pot]}
default: deny
`

// running is a node with the policy above and more, its --socket and its --http, and how to end it.
func running(t testing.TB, dir, more string) (n *node.Node, sock, http string, end func()) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{
		Name: "n1", Cluster: "client-test", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Socket: "unix:" + filepath.Join(dir, "n.sock"),
		Data: filepath.Join(dir, "data"), Drain: time.Second, Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: []byte(document + more), By: "test"}); err != nil && !errors.Is(err, api.ErrConflict) {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	return n, n.SocketAddr(), n.HTTPAddr(), sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func dial(t testing.TB, addr string, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// told is an error as both ways tell it.
func told(err error) string {
	var e *client.Error
	if errors.As(err, &e) {
		return fmt.Sprintf("%d %s %s: %s", e.Status, e.Code, e.Param, e.Message)
	}
	return fmt.Sprint(err)
}

// TestBothWays: the frames mean what HTTP means, in what is decided, in what is charged and in what is refused.
func TestBothWays(t *testing.T) {
	_, sock, http, end := running(t, t.TempDir(), "")
	defer end()
	ways := []*client.Client{dial(t, sock, client.Options{}), dial(t, http, client.Options{})}
	latency, half, two := 20*time.Millisecond, 0.5, 2.0
	for _, tt := range []struct {
		name   string
		call   client.Call
		settle *client.Settlement // nil: release
		want   string             // what the decision is, or a part of the error
	}{
		{"computed", client.Call{Tenant: "a", Agent: "x", Run: "r", Model: "m", PromptTokens: 1000, MaxOutputTokens: 500}, &client.Settlement{Usage: &client.Usage{PromptTokens: 1000, CompletionTokens: 20, CachedTokens: 100}, Outcome: "ok"}, "admit"},
		{"stated", client.Call{Tenant: "a", Tokens: map[string]int64{"compute": 700}, Wait: 20 * time.Second, TTL: time.Minute, Attributes: map[string]string{"k": "v"}}, &client.Settlement{Used: map[string]int64{"compute": 900}, Score: &half}, "admit"},
		{"given back", client.Call{Tenant: "a", Tokens: map[string]int64{"compute": 700}}, nil, "admit"},
		{"as reserved, with what the provider said", client.Call{Tenant: "b", PromptTokens: 7}, &client.Settlement{Upstream: &client.Upstream{Status: 200, Latency: &latency, Remaining: &half}}, "admit"},
		{"cheaper", client.Call{Tenant: "b", Model: "large", PromptTokens: 7, MaxOutputTokens: 9000}, &client.Settlement{Used: map[string]int64{"compute": 1}}, "degrade"},
		{"too large", client.Call{Tenant: "a", PromptTokens: 900_000, NoWait: true}, nil, "deny"},
		{"no rule", client.Call{Tenant: "a", Model: "nothing"}, nil, "deny"},
		{"no tenant", client.Call{PromptTokens: 1}, nil, "400"},
		{"no such class", client.Call{Tenant: "a", Class: "royal"}, nil, "400"},
		{"no such token", client.Call{Tenant: "a", Tokens: map[string]int64{"compote": 1}}, nil, "400"},
		{"below nothing", client.Call{Tenant: "a", PromptTokens: -1}, nil, "400 out_of_range prompt_tokens"},
		{"stated below nothing", client.Call{Tenant: "a", Tokens: map[string]int64{"compute": -1}}, nil, "400 out_of_range tokens.compute"},
		{"a name too long", client.Call{Tenant: strings.Repeat("a", 300)}, nil, "400 too_long tenant"},
		{"a key too long", client.Call{Tenant: "a", IdempotencyKey: strings.Repeat("a", 300)}, nil, "400 too_long idempotency_key"},
		{"too long", client.Call{Tenant: "a", TTL: 2 * time.Hour}, nil, "400 out_of_range ttl"},
		{"too many data sets", client.Call{Tenant: "a", Data: make([]string, 300)}, nil, "400 too_many data"},
		{"a bad digest", client.Call{Tenant: "a", Data: []string{"eu/docs@nothing"}}, nil, "400 invalid_request data"},
		{"usage below nothing", client.Call{Tenant: "a", PromptTokens: 1}, &client.Settlement{Usage: &client.Usage{PromptTokens: -1}}, "400 out_of_range usage.prompt_tokens"},
		{"a score above one", client.Call{Tenant: "a", PromptTokens: 1}, &client.Settlement{Score: &two}, "400 out_of_range score"},
		{"a status that is none", client.Call{Tenant: "a", PromptTokens: 1}, &client.Settlement{Upstream: &client.Upstream{Status: 7}}, "400 out_of_range upstream.status"},
		{"used of an unknown type", client.Call{Tenant: "a", PromptTokens: 1}, &client.Settlement{Used: map[string]int64{"compote": 1}}, "400"},
		{"an outcome too long", client.Call{Tenant: "a", PromptTokens: 1}, &client.Settlement{Outcome: strings.Repeat("x", 65)}, "400 too_long outcome"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var said [2]string
			for k, c := range ways {
				a, err := c.Admit(t.Context(), tt.call)
				if err != nil {
					said[k] = told(err)
					continue
				}
				id := a.ID
				said[k] = a.Decision.String()
				if a.Advice != nil {
					said[k] += fmt.Sprintf(" %+v", *a.Advice)
				}
				if a.ID, a.Waited, a.Advice, a.Level = "", 0, nil, 0; a.Code == "ok" { // the level follows the pace
					a.Reason = "" // whether rights were at hand
				}
				said[k] += fmt.Sprintf(" %+v", a)
				if !a.Admitted() {
					continue
				}
				ended := func() (client.Receipt, error) {
					if tt.settle == nil {
						return c.Release(t.Context(), id)
					}
					s := *tt.settle
					s.ID = id
					return c.Settle(t.Context(), s)
				}
				r, err := ended()
				if err != nil {
					said[k] = told(err)
					_, _ = c.Release(t.Context(), id)
					continue
				}
				r.ID = ""
				said[k] += fmt.Sprintf(" %+v", r)
				again, err := ended()
				if again.ID = ""; err != nil || !again.Repeated || !reflect.DeepEqual(again.Charged, r.Charged) {
					t.Errorf("once %+v, twice %+v, %v", r, again, err)
				}
			}
			if said[0] != said[1] || !strings.HasPrefix(said[0], tt.want) {
				t.Errorf("by frames: %s\nby HTTP:   %s\nwant:      %s", said[0], said[1], tt.want)
			}
		})
	}
	for _, c := range ways {
		for _, id := range []string{"n1-0", "", "another"} {
			if _, err := c.Settle(t.Context(), client.Settlement{ID: id}); (id == "") != errors.Is(err, client.ErrInvalid) || (id != "") != errors.Is(err, client.ErrUnknownID) {
				t.Errorf("settling %q: %v", id, err)
			}
		}
	}
}

// TestKeys: a key that comes with the connection makes every call of it that tenant's, as of the policy in force.
func TestKeys(t *testing.T) {
	callers := func(list ...string) string {
		s := "callers:\n"
		for _, x := range list {
			name, more, _ := strings.Cut(x, " ")
			s += fmt.Sprintf("  - {name: %s, key: \"sha256:%x\", %s}\n", name, sha256.Sum256([]byte("sp_"+name)), more)
		}
		return s
	}
	n, sock, _, end := running(t, t.TempDir(), callers("a tenant: a", "b tenant: b, agent: bot, classes: [batch]", "few tenant: a, rate: 1/h, burst: 1", "ops operator: true"))
	defer end()
	with := func(key string) *client.Client { return dial(t, sock, client.Options{Key: key, Retries: -1}) }
	if _, err := with("sp_none").Admit(t.Context(), client.Call{}); !errors.Is(err, client.ErrKey) {
		t.Errorf("an unknown key: %v", err)
	}
	a, b := with("sp_a"), with("sp_b")
	mine, err := a.Admit(t.Context(), client.Call{Agent: "x", PromptTokens: 10, Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
	if err != nil || !mine.Admitted() {
		t.Fatal(mine, err)
	}
	// What is audited says whose key it was, and in which trace.
	d, err := n.Decision(mine.ID)
	if err != nil || d.Tenant != "a" || d.Agent != "x" {
		t.Errorf("%+v, %v", d, err)
	}
	eventually(t, "the decision is not in the audit log with its caller and its trace", func() bool {
		l, err := n.AuditRecords(api.AuditQuery{ID: mine.ID, Limit: 1})
		return err == nil && len(l) > 0 && l[0].Caller == "a" && l[0].TraceID == "4bf92f3577b34da6a3ce929d0e0e4736"
	})
	if _, err := a.Admit(t.Context(), client.Call{Tenant: "b"}); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("as another tenant: %v", err)
	}
	if _, err := b.Admit(t.Context(), client.Call{Class: "standard"}); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("in another class: %v", err)
	}
	if _, err := with("sp_ops").Admit(t.Context(), client.Call{Tenant: "a"}); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("as nobody's: %v", err)
	}
	for _, f := range []func() (client.Receipt, error){
		func() (client.Receipt, error) { return b.Settle(t.Context(), client.Settlement{ID: mine.ID}) },
		func() (client.Receipt, error) { return b.Release(t.Context(), mine.ID) },
	} {
		if r, err := f(); !errors.Is(err, client.ErrUnknownID) {
			t.Errorf("another tenant ends it: %+v, %v", r, err)
		}
	}
	if r, err := a.Settle(t.Context(), client.Settlement{ID: mine.ID}); err != nil || r.Repeated {
		t.Errorf("%+v, %v", r, err)
	}
	few := with("sp_few")
	if x, err := few.Admit(t.Context(), client.Call{PromptTokens: 1}); err != nil || !x.Admitted() {
		t.Errorf("the first: %v, %v", x, err)
	}
	_, err = few.Admit(t.Context(), client.Call{PromptTokens: 1})
	var e *client.Error
	if !errors.Is(err, client.ErrLimit) || !errors.As(err, &e) || e.RetryAfter < time.Minute {
		t.Errorf("the second in an hour: %v", err)
	}
	// A key that is taken away is worth nothing any more, also over a connection that it opened.
	doc := strings.Replace(document, "revision: 1", "revision: 2", 1) + callers("b tenant: b")
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: []byte(doc), By: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Admit(t.Context(), client.Call{PromptTokens: 1}); !errors.Is(err, client.ErrKey) {
		t.Errorf("a key that was taken away: %v", err)
	}
	if x, err := b.Admit(t.Context(), client.Call{Class: "standard", PromptTokens: 1}); err != nil || !x.Admitted() {
		t.Errorf("a key that may do more now: %v, %v", x, err)
	}
}

// TestTakenBack: who goes while his call waits leaves nothing behind, whether by his context or with his connection.
func TestTakenBack(t *testing.T) {
	n, sock, _, end := running(t, t.TempDir(), "")
	defer end()
	reserved := func() (sum int64) {
		b, err := n.Budget("seats", api.View{All: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range b.Instances {
			sum += int64(i.Local.Reserved)
		}
		return sum
	}
	c := dial(t, sock, client.Options{})
	seat := client.Call{Tenant: "a", Model: "seat"}
	all, err := c.Admit(t.Context(), seat)
	if err != nil || !all.Admitted() || reserved() != 1 {
		t.Fatal(all, err, reserved())
	}
	waiting := func() int { return n.Status().Waiting }
	gone := dial(t, sock, client.Options{Retries: -1})
	for _, tt := range []struct {
		name  string
		leave func(cancel func())
		err   error
	}{
		{"by the context", func(cancel func()) { cancel() }, context.Canceled},
		{"with the connection", func(func()) { gone.Close() }, nil},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := gone.Admit(ctx, seat)
			failed <- err
		}()
		eventually(t, "the call does not wait", func() bool { return waiting() == 1 })
		tt.leave(cancel)
		err := <-failed
		var u *client.UnreachableError
		if tt.err != nil && !errors.Is(err, tt.err) || tt.err == nil && (!errors.As(err, &u) || !u.Sent) {
			t.Errorf("%s: %v", tt.name, err)
		}
		eventually(t, "the call waits on, "+tt.name, func() bool { return waiting() == 0 })
		cancel()
	}
	// One that waits on is admitted as soon as there is room.
	got := make(chan client.Answer, 1)
	go func() {
		a, err := c.Admit(t.Context(), seat)
		if err != nil {
			t.Error(err)
		}
		got <- a
	}()
	eventually(t, "the call does not wait", func() bool { return waiting() == 1 })
	if _, err := c.Settle(t.Context(), client.Settlement{ID: all.ID}); err != nil {
		t.Fatal(err)
	}
	a := <-got
	if !a.Admitted() || reserved() != 1 { // it may have waited less than a millisecond
		t.Errorf("%+v, %d reserved", a, reserved())
	}
	if _, err := c.Release(t.Context(), a.ID); err != nil || reserved() != 0 {
		t.Errorf("%v, %d reserved", err, reserved())
	}
}

// TestHammer: from many goroutines over one connection and over several, with contexts that end at any time, a hard budget is never passed, and
// in the end nothing is reserved that nobody knows of.
func TestHammer(t *testing.T) {
	n, sock, _, end := running(t, t.TempDir(), "")
	defer end()
	const limit = 100_000 // of a tenant
	var spent atomic.Int64
	var all sync.WaitGroup
	for _, conns := range []int{1, 3} {
		c := dial(t, sock, client.Options{Conns: conns})
		for g := range 24 {
			all.Go(func() {
				for i := range 40 {
					ctx, cancel := context.WithCancel(t.Context())
					if (g+i)%5 == 0 {
						go cancel()
					}
					a, err := c.Admit(ctx, client.Call{Tenant: "a", Model: "m", PromptTokens: 100, NoWait: true})
					cancel()
					switch {
					case errors.Is(err, context.Canceled):
						continue
					case err != nil:
						t.Error(err)
						return
					case !a.Admitted():
						continue
					}
					if (g+i)%3 == 0 {
						_, err = c.Release(t.Context(), a.ID)
					} else if _, err = c.Settle(t.Context(), client.Settlement{ID: a.ID, Used: map[string]int64{"compute": 70}}); err == nil {
						spent.Add(70)
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	eventually(t, "something is reserved still", func() bool {
		b, err := n.Budget("tenant-pot", api.View{All: true})
		if err != nil {
			t.Fatal(err)
		}
		l := b.Instances[0].Local
		if l.Spent > limit {
			t.Fatalf("%d spent of %d", l.Spent, limit)
		}
		return l.Reserved == 0 && int64(l.Spent) == spent.Load()
	})
}

// TestNodeComesBack: a client outlives its node. What is safe is asked again, and a node that is about to end lets what was asked end first.
func TestNodeComesBack(t *testing.T) {
	dir := t.TempDir()
	_, sock, _, end := running(t, dir, "")
	c := dial(t, sock, client.Options{Retries: 100})
	a, err := c.Admit(t.Context(), client.Call{Tenant: "a", PromptTokens: 10, TTL: time.Hour})
	if err != nil || !a.Admitted() {
		t.Fatal(a, err)
	}
	end()
	var u *client.UnreachableError
	if _, err := dial(t, sock, client.Options{Retries: -1}).Admit(t.Context(), client.Call{Tenant: "a"}); !errors.As(err, &u) || u.Sent {
		t.Errorf("nobody is there: %v", err)
	}
	asked := make(chan error, 1)
	go func() {
		b, err := c.Admit(t.Context(), client.Call{Tenant: "a", PromptTokens: 10})
		if err == nil && !b.Admitted() {
			err = errors.New(b.Reason)
		}
		asked <- err
	}()
	_, _, _, end = running(t, dir, "")
	defer end()
	if err := <-asked; err != nil {
		t.Errorf("asked while nobody was there: %v", err)
	}
	// The same call is asked for once with one key, whatever happens on the way.
	key := client.Call{Tenant: "a", PromptTokens: 10, IdempotencyKey: "k"}
	first, err := c.Admit(t.Context(), key)
	again, err2 := c.Admit(t.Context(), key)
	if err != nil || err2 != nil || first.ID != again.ID {
		t.Errorf("%v, %v; %v, %v", first, err, again, err2)
	}
}
