package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

func keyed(tenant, key string) *admit.Request {
	return &admit.Request{Call: policy.Call{Tenant: tenant}, IdempotencyKey: key}
}

func TestIdempotencyOneAnswerForAll(t *testing.T) {
	d := newIdempotency()
	var runs atomic.Int64
	release := make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			a, err := d.do(t.Context(), keyed("a", "k"), func() (admit.Answer, error) {
				<-release
				return admit.Answer{ID: fmt.Sprint("id", runs.Add(1))}, nil
			})
			if err != nil || a.ID != "id1" {
				t.Errorf("answer %q, %v; want id1", a.ID, err)
			}
		})
	}
	close(release)
	wg.Wait()
	// Another tenant's key is another key.
	if a, _ := d.do(t.Context(), keyed("b", "k"), func() (admit.Answer, error) { return admit.Answer{ID: "b"}, nil }); a.ID != "b" {
		t.Errorf("tenant b got %q", a.ID)
	}
}

func TestIdempotencyForgetsWhatWasNotDecided(t *testing.T) {
	d := newIdempotency()
	boom := errors.New("boom")
	if _, err := d.do(t.Context(), keyed("a", "k"), func() (admit.Answer, error) { return admit.Answer{}, boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if a, err := d.do(t.Context(), keyed("a", "k"), func() (admit.Answer, error) { return admit.Answer{ID: "second"}, nil }); err != nil || a.ID != "second" {
		t.Errorf("the retry got %q, %v", a.ID, err)
	}
}

func TestIdempotencyWaiterMayGo(t *testing.T) {
	d := newIdempotency()
	begun, release := make(chan struct{}), make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = d.do(context.Background(), keyed("a", "k"), func() (admit.Answer, error) {
			close(begun)
			<-release
			return admit.Answer{}, nil
		})
	}()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.do(ctx, keyed("a", "k"), func() (admit.Answer, error) { panic("BUG: ran twice") }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	<-done
}

func TestIdempotencyIsBounded(t *testing.T) {
	d := newIdempotency()
	for i := range maxKeys + 100 {
		_, _ = d.do(t.Context(), keyed("a", fmt.Sprint(i)), func() (admit.Answer, error) { return admit.Answer{}, nil })
	}
	if len(d.byKey) > maxKeys || len(d.order) > maxKeys {
		t.Errorf("%d keys and %d in order are kept, at most %d are allowed", len(d.byKey), len(d.order), maxKeys)
	}
	if _, err := d.do(t.Context(), keyed("a", strings.Repeat("x", admit.MaxKeyLen+1)), nil); !errors.Is(err, admit.ErrInvalid) {
		t.Errorf("a key that is too long: %v", err)
	}
}
