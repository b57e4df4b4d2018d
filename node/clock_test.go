package node

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/boottime"
	"github.com/swarmpurse/swarmpurse/policy"
)

// TestSuspensionIsToldFromAStep: the clock that counts suspension knows why the wall clock is ahead.
func TestSuspensionIsToldFromAStep(t *testing.T) {
	log := &lines{}
	n, err := Open(t.Context(), Options{Name: "n1", Cluster: "test", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Logger: zerolog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var suspended atomic.Int64
	if err := n.look(func(ledger.Instant) {
		n.boot = func() time.Duration { return boottime.Now() + time.Duration(suspended.Load()) }
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says string
		boot time.Duration // what the clock that counts suspension shows of an hour
	}{{"the machine was suspended", time.Hour}, {"the clock stepped forward", 0}} {
		if err := n.look(func(ledger.Instant) {
			n.wrong.Add(int64(time.Hour))
			suspended.Add(int64(c.boot))
		}); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); !strings.Contains(log.String(), c.says); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the log does not say that %s:\n%s", c.says, log)
			}
		}
	}
	if got := log.String(); strings.Count(got, `"step":`) != 2 {
		t.Errorf("more than two steps:\n%s", got)
	}
}

// TestNoCallBetweenWakingAndTheClock: the first call after the machine was suspended is decided by the time that it is then. By the time
// before, a lease that has ended would seem to run.
func TestNoCallBetweenWakingAndTheClock(t *testing.T) {
	n, err := Open(t.Context(), Options{Name: "n1", Cluster: "test", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	call := &admit.Request{Call: policy.Call{Tokens: []policy.Amount{{Token: "compute", Amount: 1}}}}
	for range 2 { // what it needs is opened, and it is decided without the loop
		if _, err := n.Admit(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	before := n.now()
	decided := make(chan admit.Answer, 1)
	if err := n.look(func(ledger.Instant) { // no tick comes between
		n.wrong.Add(int64(time.Hour))
		tried := make(chan struct{})
		go func() {
			close(tried)
			a, err := n.Admit(t.Context(), call)
			if err != nil {
				t.Error(err)
			}
			decided <- a
		}()
		<-tried
	}); err != nil {
		t.Fatal(err)
	}
	a := <-decided
	rec, err := n.Decision(a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if rec.At.UnixMilli() < int64(before)+time.Hour.Milliseconds() {
		t.Errorf("decided as at %v, %v before it", rec.At, time.Hour)
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
