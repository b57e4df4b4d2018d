package caller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/policy"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// table makes the keys of a policy, in which KEY(x) stands for the hash of the key x.
func table(t testing.TB, list string, old *Table) *Table {
	t.Helper()
	list = regexp.MustCompile(`KEY\((.*?)\)`).ReplaceAllStringFunc(list, func(s string) string {
		return fmt.Sprintf("sha256:%x", Hash(s[len("KEY("):len(s)-1]))
	})
	p, err := policy.Parse("callers", []byte("apiVersion: swarmpurse/v1\nrevision: 1\nclasses: [{name: best, weight: 9}, {name: standard, weight: 4}, {name: batch}]\ncallers:\n"+list))
	if err != nil {
		t.Fatal(err)
	}
	return NewTable(p, old)
}

const some = `
  - {name: search, key: KEY(sp_search), tenant: search}
  - {name: crawler, key: KEY(sp_crawler), tenant: search, agent: crawler, classes: [batch, standard]}
  - {name: ops, key: KEY(sp_ops), operator: true}
  - {name: old, key: KEY(sp_old), tenant: search, expires: "2026-01-02T03:04:05Z"}
`

func TestFind(t *testing.T) {
	keys := table(t, some, nil)
	for key, want := range map[string]string{"sp_search": "search", "sp_crawler": "crawler", "sp_ops": "ops"} {
		if c, err := keys.Find(key, epoch); err != nil || c.Name != want {
			t.Errorf("%s: %v, %v", key, c, err)
		}
	}
	for _, key := range []string{"", "sp_", "sp_searc", "sp_search ", "SP_search", strings.Repeat("x", 10_000)} {
		if _, err := keys.Find(key, epoch); !errors.Is(err, ErrUnknown) {
			t.Errorf("%.20q: %v", key, err)
		}
	}
	if _, err := keys.Find("sp_old", epoch.Add(-time.Millisecond)); err != nil {
		t.Errorf("before it expires: %v", err)
	}
	if _, err := keys.Find("sp_old", epoch); !errors.Is(err, ErrExpired) || strings.Contains(err.Error(), "sp_old") {
		t.Errorf("once it has expired: %v", err)
	}
	var none *Table
	if _, err := none.Find("sp_search", epoch); !errors.Is(err, ErrUnknown) || none.Len() != 0 {
		t.Errorf("without keys: %v", err)
	}
}

func TestKeyOf(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header []string
		key    string
		err    error
		left   string // what goes on to an upstream
	}{
		{"nothing", nil, "", nil, ""},
		{"OpenAI's clients", []string{"Authorization: Bearer sp_a"}, "sp_a", nil, ""},
		{"the scheme in small letters", []string{"Authorization: bearer  sp_a "}, "sp_a", nil, ""},
		{"no scheme", []string{"Authorization: sp_a"}, "sp_a", nil, ""},
		{"Anthropic's clients", []string{"X-Api-Key: sp_a"}, "sp_a", nil, ""},
		{"Azure's", []string{"Api-Key: sp_a"}, "sp_a", nil, ""},
		{"a provider's own", []string{"Authorization: Bearer sk-1", "X-Api-Key: sk-2"}, "", nil, "Authorization: Bearer sk-1, X-Api-Key: sk-2"},
		{"beside a provider's own", []string{"Authorization: Bearer sk-1", "X-Swarmpurse-Key: sp_a"}, "sp_a", nil, "Authorization: Bearer sk-1"},
		{"behind a provider's own", []string{"Authorization: Bearer sk-1", "Authorization: Bearer sp_a"}, "sp_a", nil, "Authorization: Bearer sk-1"},
		{"twice the same", []string{"Authorization: Bearer sp_a", "X-Api-Key: sp_a"}, "sp_a", nil, ""},
		{"two", []string{"Authorization: Bearer sp_a", "X-Api-Key: sp_b"}, "", ErrTwo, ""},
		{"our header with what is no key", []string{"X-Swarmpurse-Key: dummy"}, "dummy", nil, ""},
		{"Basic", []string{"Authorization: Basic c3BfYTpzcF9h"}, "", nil, "Authorization: Basic c3BfYTpzcF9h"},
	} {
		h := http.Header{}
		for _, line := range tt.header {
			name, v, _ := strings.Cut(line, ": ")
			h.Add(name, v)
		}
		key, err := KeyOf(h)
		if key != tt.key || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v", tt.name, key, err)
		}
		Strip(h)
		var left []string
		for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Swarmpurse-Key"} {
			for _, v := range h.Values(name) {
				left = append(left, name+": "+v)
			}
		}
		if got := strings.Join(left, ", "); got != tt.left {
			t.Errorf("%s: %q is forwarded, want %q", tt.name, got, tt.left)
		}
	}
}

// A tenant's key makes that tenant's calls, whatever the call says.
func TestFix(t *testing.T) {
	keys := table(t, some, nil)
	for _, tt := range []struct {
		key        string
		call, want policy.Call
		field      string // at fault
	}{
		{"sp_search", policy.Call{}, policy.Call{Tenant: "search"}, ""},
		{"sp_search", policy.Call{Tenant: "search", Agent: "a", Class: "best", Priority: true}, policy.Call{Tenant: "search", Agent: "a", Class: "best", Priority: true}, ""},
		{"sp_search", policy.Call{Tenant: "ads"}, policy.Call{}, "tenant"},
		{"sp_search", policy.Call{Tenant: "Search"}, policy.Call{}, "tenant"},
		{"sp_search", policy.Call{Tenant: "search "}, policy.Call{}, "tenant"},
		{"sp_crawler", policy.Call{}, policy.Call{Tenant: "search", Agent: "crawler", Class: "batch"}, ""},
		{"sp_crawler", policy.Call{Agent: "other"}, policy.Call{}, "agent"},
		{"sp_crawler", policy.Call{Class: "best"}, policy.Call{}, "class"},
		// Points lift a call into a class that the key may use, and into no other.
		{"sp_crawler", policy.Call{Priority: true}, policy.Call{Tenant: "search", Agent: "crawler", Class: "batch", Priority: true}, ""},
		{"sp_crawler", policy.Call{Class: "standard", Priority: true}, policy.Call{Tenant: "search", Agent: "crawler", Class: "standard"}, ""},
		{"sp_ops", policy.Call{}, policy.Call{}, "tenant"},
		{"sp_ops", policy.Call{Tenant: "search"}, policy.Call{}, "tenant"},
	} {
		c, err := keys.Find(tt.key, epoch)
		if err != nil {
			t.Fatal(err)
		}
		call := tt.call
		err = c.Fix(&call)
		var f *Forbidden
		if tt.field != "" {
			if !errors.As(err, &f) || f.Field != tt.field {
				t.Errorf("%s, %+v: %v, want one about %s", tt.key, tt.call, err, tt.field)
			}
			continue
		}
		if err != nil || fmt.Sprint(call) != fmt.Sprint(tt.want) {
			t.Errorf("%s, %+v: %+v, %v", tt.key, tt.call, call, err)
		}
	}
}

func TestSees(t *testing.T) {
	keys := table(t, some, nil)
	find := func(key string) *Caller {
		c, err := keys.Find(key, epoch)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, tt := range []struct {
		c      *Caller
		tenant string
		want   bool
	}{
		{nil, "ads", true}, {find("sp_ops"), "ads", true}, {find("sp_search"), "search", true},
		{find("sp_search"), "ads", false}, {find("sp_search"), "", false},
	} {
		if got := tt.c.Sees(tt.tenant); got != tt.want {
			t.Errorf("%+v sees %q: %v", tt.c, tt.tenant, got)
		}
	}
}

func one(t testing.TB, limits string) *Caller {
	c, err := table(t, "  - {name: a, key: KEY(sp_a), tenant: t"+limits+"}\n", nil).Find("sp_a", epoch)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRate(t *testing.T) {
	c := one(t, ", rate: 10/s, burst: 3")
	at := epoch
	for _, tt := range []struct {
		after time.Duration
		wait  time.Duration // 0: it is let in
	}{
		{0, 0}, {0, 0}, {0, 0}, {0, 100 * time.Millisecond},
		{30 * time.Millisecond, 70 * time.Millisecond},
		{70 * time.Millisecond, 0}, {0, 100 * time.Millisecond},
		{time.Hour, 0}, {0, 0}, {0, 0}, {0, 100 * time.Millisecond}, // no more than the burst piles up
		{-2 * time.Hour, 0}, {0, 100 * time.Millisecond}, // a clock that was set back locks nobody out for hours
		{100 * time.Millisecond, 0},
	} {
		at = at.Add(tt.after)
		limit, wait := c.Enter(at)
		if wait != tt.wait || (limit == Rate) != (wait > 0) {
			t.Errorf("at %v: %v, wait %v, want %v", at.Sub(epoch), limit, wait, tt.wait)
		}
		if limit == None {
			c.Leave(time.Millisecond)
		}
	}
	if u := c.Use(); u.Rate != 5 || u.Requests != 9 || u.InFlight != 0 {
		t.Errorf("%+v", u)
	}
}

// In any time at most what the rate brings, and the burst; and who comes back when told is let in.
func TestRateLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		per, burst := rapid.Int64Range(1, 1000).Draw(t, "per"), rapid.Int64Range(1, 50).Draw(t, "burst")
		c := &Caller{Caller: policy.Caller{Per: per, Period: time.Second, Burst: burst}, use: &use{}}
		c.every = int64(time.Second) / per
		c.slack = c.every * (burst - 1)
		now, in := epoch, []time.Time(nil)
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 2*c.every).Draw(t, "gap")))
			limit, wait := c.Enter(now)
			if limit == Rate {
				if now = now.Add(wait); wait <= 0 {
					t.Fatalf("refused, and told to wait %v", wait)
				}
				if limit, _ = c.Enter(now); limit != None {
					t.Fatalf("refused again after the wait that it was told, %v", wait)
				}
			}
			c.Leave(0)
			in = append(in, now)
		}
		for i := range in {
			for j := i; j < len(in); j++ {
				if most := int64(in[j].Sub(in[i]))/c.every + burst; int64(j-i+1) > most {
					t.Fatalf("%d requests in %v, at most %d are allowed", j-i+1, in[j].Sub(in[i]), most)
				}
			}
		}
	})
}

func TestConcurrency(t *testing.T) {
	c := one(t, ", concurrency: 2")
	for range 2 {
		if limit, _ := c.Enter(epoch); limit != None {
			t.Fatal("refused")
		}
	}
	if limit, wait := c.Enter(epoch); limit != Concurrency || wait != leastWait {
		t.Errorf("%v, %v", limit, wait)
	}
	for range 100 { // requests of four seconds: with two at once one ends every two
		c.Leave(4 * time.Second)
		if limit, _ := c.Enter(epoch); limit != None {
			t.Fatal("refused although one has left")
		}
	}
	if limit, wait := c.Enter(epoch); limit != Concurrency || wait < 1900*time.Millisecond || wait > 2*time.Second {
		t.Errorf("%v, %v", limit, wait)
	}
	if u := c.Use(); u.Busy != 2 || u.InFlight != 2 {
		t.Errorf("%+v", u)
	}
}

// However many come at once, no more than the limit are in.
func TestConcurrencyUnderLoad(t *testing.T) {
	c := one(t, ", concurrency: 3, rate: 1000/s")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if limit, _ := c.Enter(epoch); limit == None {
					if n := c.use.inFlight.Load(); n > 3+8 { // eight may be about to be refused
						t.Errorf("%d at once", n)
					}
					c.Leave(0)
				}
			}
		})
	}
	all.Wait()
	if u := c.Use(); u.Requests != 1000 || u.InFlight != 0 || u.Requests+u.Rate+u.Busy != 8000 {
		t.Errorf("%+v: at one instant the burst of 1000 is let in and no more", u)
	}
}

// A change of the policy gives nobody a fresh burst.
func TestUseSurvivesAChangeOfThePolicy(t *testing.T) {
	const list = "  - {name: a, key: KEY(sp_a), tenant: t, rate: 1/h, burst: 1}\n"
	before := table(t, list, nil)
	c, _ := before.Find("sp_a", epoch)
	if limit, _ := c.Enter(epoch); limit != None {
		t.Fatal("refused")
	}
	c, _ = table(t, list+"  - {name: b, key: KEY(sp_b), tenant: t}\n", before).Find("sp_a", epoch)
	if limit, wait := c.Enter(epoch); limit != Rate || wait != time.Hour {
		t.Errorf("%v, %v", limit, wait)
	}
	if u := c.Use(); u.InFlight != 1 {
		t.Errorf("the request that is under way is forgotten: %+v", u)
	}
}

func TestNewKey(t *testing.T) {
	a, b := NewKey(), NewKey()
	if a == b || len(a) != 46 || !strings.HasPrefix(a, policy.KeyPrefix) {
		t.Errorf("%s %s", a, b)
	}
}

func TestContext(t *testing.T) {
	c := &Caller{}
	if From(t.Context()) != nil || From(With(t.Context(), c)) != c || From(context.WithValue(t.Context(), contextKey{}, 7)) != nil {
		t.Error("a context does not carry its caller")
	}
}

// Looking a key up is on the way of every request.
func TestFindAllocatesNothing(t *testing.T) {
	keys, key := table(t, some, nil), "sp_"+strings.Repeat("x", 43)
	h := http.Header{"Authorization": {"Bearer sp_crawler"}}
	if n := testing.AllocsPerRun(1000, func() {
		k, _ := KeyOf(h)
		c, _ := keys.Find(k, epoch)
		c.Enter(epoch)
		c.Leave(time.Millisecond)
		_, _ = keys.Find(key, epoch)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFind(b *testing.B) {
	var list strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&list, "  - {name: k%d, key: KEY(sp_%d), tenant: t, rate: 1000000/s, concurrency: 9}\n", i, i)
	}
	keys := table(b, list.String(), nil)
	h := http.Header{"Authorization": {"Bearer sp_1234"}, "Content-Type": {"application/json"}}
	b.ReportAllocs()
	for b.Loop() {
		k, _ := KeyOf(h)
		c, err := keys.Find(k, epoch)
		if err != nil {
			b.Fatal(err)
		}
		c.Enter(epoch)
		c.Leave(time.Millisecond)
	}
}

// No header makes a key pass on to an upstream, and nothing else is lost.
func FuzzKeyOf(f *testing.F) {
	for _, s := range []string{"Bearer sp_a", "bearer \tsp_a", "sp_a", "Bearer", "Bearer  Bearer sp_a", "sk-1", "\x00", "Basic x"} {
		f.Add(s, "sk-2", s)
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		h := http.Header{"Authorization": {a, b}, "X-Api-Key": {c}, "Accept": {a}}
		key, err := KeyOf(h)
		Strip(h)
		if again, err := KeyOf(h); again != "" || err != nil {
			t.Errorf("%q is still there, %v", again, err)
		}
		if err == nil && key != "" && !strings.HasPrefix(key, policy.KeyPrefix) {
			t.Errorf("%q is no key of ours", key)
		}
		for _, v := range []string{a, b} {
			if kept := strings.Contains(fmt.Sprintf("%q", h["Authorization"]), fmt.Sprintf("%q", v)); !kept && !strings.HasPrefix(token(v), policy.KeyPrefix) {
				t.Errorf("%q was lost", v)
			}
		}
		if h.Get("Accept") != a {
			t.Error("another header was changed")
		}
	})
}
