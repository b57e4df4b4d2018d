package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/node/child"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

const (
	// callWithin bounds one call, its wait in a class's queue included.
	callWithin = 2 * time.Minute
	// maxOpen bounds the calls at once of all agents; more wait for their turn, which is counted.
	maxOpen   = 4096
	maxAnswer = 16 << 20
)

// Tally counts calls by how they ended. Offered is the sum of the others.
type Tally struct {
	Offered  int64 `json:"offered"`
	Admitted int64 `json:"admitted"`
	Settled  int64 `json:"settled"` // admitted, and the whole answer came; settled before its end
	Deferred int64 `json:"deferred"`
	Denied   int64 `json:"denied"`
	Failed   int64 `json:"failed"` // no answer, or an error that is no decision
}

func (t *Tally) add(d Tally) {
	t.Offered += d.Offered
	t.Admitted += d.Admitted
	t.Settled += d.Settled
	t.Deferred += d.Deferred
	t.Denied += d.Denied
	t.Failed += d.Failed
}

// load makes the calls of a workload through the proxies of the nodes.
type load struct {
	w      *Workload
	keys   []string // of each call, for the model server
	base   []string // of each node's proxy, without a slash at the end
	client *http.Client

	open atomic.Int64
	late atomic.Int64 // calls that had to wait for others to end

	mu     sync.Mutex // guards what follows
	tally  map[[2]string]*Tally
	calls  []decided
	errors []string // the first few
}

func newLoad(w *Workload, keys, base []string) *load {
	return &load{
		w: w, keys: keys, base: base, tally: map[[2]string]*Tally{},
		client: &http.Client{
			Timeout: callWithin,
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
				MaxIdleConnsPerHost: 512, DisableCompression: true,
			},
		},
	}
}

// run makes every call at its time and returns when all have ended, or ctx does.
func (l *load) run(ctx context.Context) {
	defer l.client.CloseIdleConnections()
	start := time.Now()
	turns := make(chan struct{}, maxOpen)
	var wg sync.WaitGroup
	defer wg.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, c := range l.w.Calls {
		if d := c.At - time.Since(start); d > 0 {
			timer.Reset(d)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		select {
		case turns <- struct{}{}:
		default:
			l.late.Add(1)
			select {
			case turns <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
		wg.Go(func() {
			defer func() { <-turns }()
			l.open.Add(1)
			defer l.open.Add(-1)
			l.call(ctx, i, c)
		})
	}
}

func (l *load) call(ctx context.Context, i int, c Call) {
	a := l.w.Agents[c.Agent]
	t, id, err := l.try(ctx, i, c, a)
	if ctx.Err() != nil {
		return // interrupted: nobody will read the tally
	}
	t.Offered = 1
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [2]string{a.Tenant, a.Class}
	if l.tally[key] == nil {
		l.tally[key] = &Tally{}
	}
	l.tally[key].add(t)
	if id != "" {
		l.calls = append(l.calls, decided{a.Node, id, t.Admitted > 0, key})
	}
	if err != nil && len(l.errors) < 5 {
		l.errors = append(l.errors, child.Printable(fmt.Sprintf("agent %s at node n%d: %v", a.Name, a.Node+1, err)))
	}
}

// try makes one call and returns the decision's id, if there is one. An error is told of when the call
// failed, or was admitted and broke off.
func (l *load) try(ctx context.Context, i int, c Call, a Agent) (t Tally, id string, err error) {
	path, body := request(c, i)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.base[a.Node]+path, bytes.NewReader(body))
	if err != nil {
		return Tally{Failed: 1}, "", err
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("Authorization", "Bearer none") // the node holds the provider's key, if there is one
	h.Set(llm.HeaderTenant, a.Tenant)
	h.Set(llm.HeaderAgent, a.Name)
	if a.Class != "" {
		h.Set(llm.HeaderClass, a.Class)
	}
	h.Set(standin.HeaderTenant, l.keys[i])
	h.Set(standin.HeaderOutput, fmt.Sprint(c.Output))
	resp, err := l.client.Do(req)
	if err != nil {
		return Tally{Failed: 1}, "", err
	}
	defer resp.Body.Close()
	id = resp.Header.Get(llm.HeaderDecision)
	if resp.StatusCode == http.StatusTooManyRequests && id != "" {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // for keep-alive
		if resp.Header.Get("Retry-After-Ms") == "" {
			return Tally{Denied: 1}, id, nil
		}
		return Tally{Deferred: 1}, id, nil
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		return Tally{Failed: 1}, id, fmt.Errorf("status %d: %.200s", resp.StatusCode, answer)
	}
	t = Tally{Admitted: 1}
	if err != nil {
		return t, id, fmt.Errorf("the answer broke off after %d bytes: %w", len(answer), err)
	}
	if c.Stream {
		if !bytes.HasSuffix(bytes.TrimSpace(answer), []byte("data: [DONE]")) {
			return t, id, errors.New("a stream ended without [DONE]")
		}
		t.Settled = 1
		return t, id, nil
	}
	if !json.Valid(answer) {
		return t, id, fmt.Errorf("an answer of %d bytes that is no JSON", len(answer))
	}
	t.Settled = 1
	return t, id, nil
}

// progress sums up what there is so far.
func (l *load) progress() (t Tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.tally {
		t.add(*x)
	}
	return t
}
