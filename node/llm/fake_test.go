package llm_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/node/llm/standin"
	"github.com/swarmpurse/swarmpurse/policy"
)

// fakeAdmitter admits everything, unless told otherwise, and writes down how each reservation ends.
type fakeAdmitter struct {
	mu      sync.Mutex
	answer  func(*admit.Request) (admit.Answer, error) // nil: admit
	settle  func(string, admit.Settlement)             // called before a settlement is written down
	entries []*entry
	heard   []admit.Upstream // by Feedback
	pace    func(context.Context, string, int64) bool
	route   *policy.Upstream // where calls go; nil: they are not routed
	advice  *admit.Advice    // nil: calls are admitted as they are
	retry   func(id string, f admit.Failed) (admit.Next, bool)
	glance  func(*admit.Request) admit.Glance // nil: rights are scarce, and the call may run
}

func (f *fakeAdmitter) Glance(r *admit.Request) admit.Glance {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.glance == nil {
		return admit.Glance{Placed: true, Upstream: f.route}
	}
	return f.glance(r)
}

// entry is one reservation.
type entry struct {
	req   admit.Request
	ended int  // how often it was settled or released: once
	freed bool // by Release
	usage *admit.Usage
	guess *admit.Usage // Settlement.Estimate
	out   string
}

// charged is what a budget on all tokens is charged.
func (e *entry) charged() int64 {
	switch {
	case e.freed:
		return 0
	case e.usage != nil:
		return e.usage.PromptTokens + e.usage.CompletionTokens
	}
	return e.req.PromptTokens + e.req.MaxOutputTokens
}

func (f *fakeAdmitter) Admit(ctx context.Context, r *admit.Request) (admit.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answer != nil {
		if a, err := f.answer(r); err != nil || !a.Verdict.Admitted() {
			return a, err
		}
	}
	f.entries = append(f.entries, &entry{req: *r})
	if f.advice != nil && !r.AsIs {
		return admit.Answer{ID: fmt.Sprint(len(f.entries) - 1), Verdict: admit.Degrade, Node: "n1", Advice: f.advice}, nil
	}
	return admit.Answer{ID: fmt.Sprint(len(f.entries) - 1), Verdict: admit.Admit, Node: "n1", Upstream: f.route,
		Reserved: []admit.Charge{{Budget: "compute", Price: 1_500_000}}}, nil
}

func (f *fakeAdmitter) end(id string, set func(*entry)) (admit.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var i int
	if _, err := fmt.Sscan(id, &i); err != nil || i >= len(f.entries) {
		return admit.Receipt{}, admit.ErrUnknownID
	}
	f.entries[i].ended++
	set(f.entries[i])
	return admit.Receipt{ID: id}, nil
}

func (f *fakeAdmitter) Settle(id string, s admit.Settlement) (admit.Receipt, error) {
	if f.settle != nil {
		f.settle(id, s)
	}
	return f.end(id, func(e *entry) { e.usage, e.guess, e.out = s.Usage, s.Estimate, s.Outcome })
}

func (f *fakeAdmitter) Release(id string) (admit.Receipt, error) {
	return f.end(id, func(e *entry) { e.freed = true })
}

func (f *fakeAdmitter) Score(string, float64) (float64, bool, error) { return 0, false, nil }

func (f *fakeAdmitter) Pace(ctx context.Context, id string, bytes int64) bool {
	if f.pace == nil {
		return false
	}
	return f.pace(ctx, id, bytes)
}

func (f *fakeAdmitter) Retry(id string, x admit.Failed) (admit.Next, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.retry == nil {
		return admit.Next{}, false, nil
	}
	next, ok := f.retry(id, x)
	return next, ok, nil
}

func (f *fakeAdmitter) Feedback(id string, u admit.Upstream) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = append(f.heard, u)
	return nil
}

// all returns a copy of the entries.
func (f *fakeAdmitter) all() []entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]entry, len(f.entries))
	for i, e := range f.entries {
		out[i] = *e
	}
	return out
}

// only returns the one entry, once it has ended.
func (f *fakeAdmitter) only(t *testing.T) entry {
	t.Helper()
	eventually(t, "one reservation that has ended", func() bool {
		all := f.all()
		return len(all) == 1 && all[0].ended > 0
	})
	e := f.all()[0]
	if e.ended != 1 {
		t.Fatalf("the reservation ended %d times", e.ended)
	}
	return e
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

// bed is a proxy in front of an upstream.
type bed struct {
	fake  *fakeAdmitter
	proxy *llm.Proxy
	url   string
	reg   *prometheus.Registry
	model *standin.Server // nil if the upstream is the test's own
	door  *caller.Table   // keys that are known
}

// callers makes the table of a policy's callers, in which KEY(x) stands for the hash of the key x.
func callers(t testing.TB, list string) *caller.Table {
	t.Helper()
	list = regexp.MustCompile(`KEY\((.*?)\)`).ReplaceAllStringFunc(list, func(s string) string {
		return fmt.Sprintf("sha256:%x", caller.Hash(s[len("KEY("):len(s)-1]))
	})
	p, err := policy.Parse("callers", []byte("apiVersion: swarmpurse/v1\nrevision: 1\ncallers:"+list))
	if err != nil {
		t.Fatal(err)
	}
	return caller.NewTable(p, nil)
}

// ServeHTTP is what of the API's door the proxy goes by: it says whose key a request carries.
func (b *bed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, err := caller.KeyOf(r.Header)
	if err == nil && key != "" {
		c, err := b.door.Find(key, time.Now())
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		r = r.WithContext(caller.With(r.Context(), c))
	}
	b.proxy.ServeHTTP(w, r)
}

var counter = llm.NewCounter() // encoders take a while to load

// newBed puts a proxy in front of upstream; nil stands for a stand-in model server.
func newBed(t testing.TB, upstream http.Handler, set func(*llm.Options)) *bed {
	t.Helper()
	b := &bed{fake: &fakeAdmitter{}, reg: prometheus.NewRegistry()}
	if upstream == nil {
		var err error
		if b.model, err = standin.New(standin.Options{Counter: counter}); err != nil {
			t.Fatal(err)
		}
		upstream = b.model
	}
	up := httptest.NewServer(upstream)
	t.Cleanup(up.Close)
	u, err := url.Parse(up.URL + "/v1")
	if err != nil {
		t.Fatal(err)
	}
	o := llm.Options{Admitter: b.fake, Counter: counter, Registerer: b.reg, Node: "n1",
		Upstreams: []llm.Upstream{{Name: "openai", URL: u, Key: "sk-provider-key-of-the-node"}, {Name: "anthropic", URL: u, Key: "sk-ant-provider-key-of-the-node"}}}
	if set != nil {
		set(&o)
	}
	if b.proxy, err = llm.New(o); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, pattern := range llm.Patterns() {
		mux.Handle(pattern, b)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.proxy.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		srv.Close()
	})
	b.url = srv.URL
	return b
}

// client is the official client, changed in nothing but its base URL.
func (b *bed) client(opts ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{
		option.WithBaseURL(b.url + "/openai/v1/"), option.WithAPIKey("dummy"),
	}, opts...)...)
}

// claude is the official client of Anthropic's, changed likewise.
func (b *bed) claude() anthropic.Client {
	return anthropic.NewClient(anthropicoption.WithBaseURL(b.url+"/anthropic"), anthropicoption.WithAPIKey("dummy"), anthropicoption.WithMaxRetries(0))
}

// agree demands that the reservations were charged what the model server counted, to the token.
func (b *bed) agree(t *testing.T) {
	t.Helper()
	eventually(t, "the model server is at rest and every reservation has ended", func() bool {
		for _, e := range b.fake.all() {
			if e.ended == 0 {
				return false
			}
		}
		return b.model.Stats().InFlight == 0
	})
	var charged int64
	for i, e := range b.fake.all() {
		if e.ended != 1 {
			t.Errorf("reservation %d ended %d times", i, e.ended)
		}
		charged += e.charged()
	}
	if got := b.model.Stats().Total.Tokens(); got != charged {
		t.Errorf("the model server counted %d tokens, the reservations were charged %d", got, charged)
	}
}
