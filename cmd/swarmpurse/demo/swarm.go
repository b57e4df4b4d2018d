package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/child"
)

const (
	startWithin = 60 * time.Second        // until all nodes are ready
	pollEvery   = 50 * time.Millisecond   // while waiting for something
	lookWithin  = 5 * time.Second         // one answer of a node
	startTries  = 3                       // with other ports each
	stopWithin  = 15 * time.Second        // for an orderly end
	abortWithin = 1500 * time.Millisecond // when interrupted
)

// member is one node of the swarm: its process and a client for it.
type member struct {
	*child.Child
	index  int
	zone   string
	gossip string
	http   string // host:port
	client *api.Client
}

// swarm is all nodes.
type swarm struct {
	dir     string
	members []*member
}

func (s *swarm) names() []string {
	list := make([]string, len(s.members))
	for i, m := range s.members {
		list[i] = m.Name
	}
	return list
}

// startSwarm starts the nodes and waits until each is ready and sees all others.
func startSwarm(ctx context.Context, o *Options, dir, policyFile, upstream string) (*swarm, error) {
	for try := 1; ; try++ {
		s, err := tryStart(ctx, o, filepath.Join(dir, "try"+strconv.Itoa(try)), policyFile, upstream)
		if err == nil {
			return s, nil
		}
		var taken *portTakenError
		if !errors.As(err, &taken) || try == startTries || ctx.Err() != nil {
			return nil, err
		}
	}
}

// portTakenError says that somebody else took a port between our choosing and its use.
type portTakenError struct{ error }

func (e *portTakenError) Unwrap() error { return e.error }

func tryStart(ctx context.Context, o *Options, dir, policyFile, upstream string) (*swarm, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ports, err := FreePorts(2 * o.Nodes)
	if err != nil {
		return nil, err
	}
	var id [4]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	cluster := "demo-" + hex.EncodeToString(id[:])
	expect := o.Nodes
	if expect > 9 {
		expect = o.Nodes/2 + 1
	}
	s := &swarm{dir: dir}
	for i := range o.Nodes {
		m := &member{index: i, zone: zoneOf(i, o.Nodes), gossip: ports[2*i], http: ports[2*i+1]}
		if m.client, err = api.NewClient("http://" + m.http); err != nil {
			panic("BUG: " + err.Error())
		}
		s.members = append(s.members, m)
	}
	for i, m := range s.members {
		name := "n" + strconv.Itoa(i+1)
		args := []string{
			"node", "--name", name, "--gossip", m.gossip, "--http", m.http, "--grpc", "off", "--cluster", cluster, "--zone", m.zone,
			"--bootstrap-expect", strconv.Itoa(expect), "--policy", policyFile, "--data", filepath.Join(dir, name),
			"--upstream", "openai=" + upstream, "--faults", "--log-format", "json",
		}
		for j, seed := range s.members[:min(3, o.Nodes)] {
			if j != i {
				args = append(args, "--join", seed.gossip)
			}
		}
		if m.Child, err = child.Start(child.Spec{Name: name, Log: filepath.Join(dir, name+".log"), Binary: o.Binary, Args: args, Env: child.Env()}); err != nil {
			s.members = s.members[:i]
			s.stop(abortWithin)
			return nil, err
		}
	}
	if err := s.awaitReady(ctx, o.Nodes); err != nil {
		s.stop(abortWithin)
		for _, m := range s.members {
			for _, line := range child.Tail(m.Log) {
				if strings.Contains(line, "address already in use") {
					return nil, &portTakenError{err}
				}
			}
		}
		return nil, err
	}
	return s, nil
}

// zoneOf cuts the nodes into two halves, which are the zones too.
func zoneOf(i, nodes int) string {
	if i < (nodes+1)/2 {
		return "a"
	}
	return "b"
}

// awaitReady waits until all nodes are ready and see n living members.
func (s *swarm) awaitReady(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errors.New("the time is up"))
	defer cancel()
	why := make([]string, len(s.members))
	for {
		ready := 0
		for i, m := range s.members {
			if f := m.Failure(); f != "" {
				return errors.New(f + "; its last lines:\n  " + strings.Join(child.Tail(m.Log), "\n  "))
			}
			if why[i] = m.notReady(ctx, n); why[i] == "" {
				ready++
			}
		}
		if ready == len(s.members) {
			return nil
		}
		select {
		case <-ctx.Done():
			if err := ctx.Err(); errors.Is(err, context.Canceled) {
				return err
			}
			var list []string
			for i, w := range why {
				if w != "" {
					list = append(list, s.members[i].Name+": "+w)
				}
			}
			return fmt.Errorf("the swarm was not ready within %v: %s", startWithin, strings.Join(list, "; "))
		case <-time.After(pollEvery):
		}
	}
}

// notReady asks /readyz and then who the node sees; "" means that all is well.
func (m *member) notReady(ctx context.Context, n int) string {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.http+"/readyz", nil)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	resp, err := plainHTTP.Do(req)
	if err != nil {
		return "it does not answer yet"
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		st, err := m.client.Status(ctx)
		if err != nil {
			return fmt.Sprintf("/readyz says %d", resp.StatusCode)
		}
		return strings.Join(st.Reasons, ", ")
	}
	list, err := m.client.Members(ctx)
	if err != nil {
		return err.Error()
	}
	alive := 0
	for _, x := range list {
		if x.Status == "alive" {
			alive++
		}
	}
	if alive != n {
		return fmt.Sprintf("it sees %d of %d members", alive, n)
	}
	return ""
}

// plainHTTP talks to processes on loopback, past any proxy that the environment names.
var plainHTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}

// failure tells of the first node that ended though nobody asked it to.
func (s *swarm) failure() error {
	for _, m := range s.members {
		if f := m.Failure(); f != "" {
			return errors.New(f + "; its last lines:\n  " + strings.Join(child.Tail(m.Log), "\n  "))
		}
	}
	return nil
}

// ended is closed when some node has ended.
func (s *swarm) anyEnded(ctx context.Context) <-chan struct{} {
	out := make(chan struct{})
	var once sync.Once
	for _, m := range s.members {
		go func() {
			select {
			case <-m.Ended():
				once.Do(func() { close(out) })
			case <-ctx.Done():
			}
		}()
	}
	return out
}

// cut drops all gossip between the zones; heal lets it pass again.
func (s *swarm) cut(ctx context.Context) error {
	return s.each(ctx, func(ctx context.Context, m *member) error {
		var others []string
		for _, o := range s.members {
			if o.zone != m.zone {
				others = append(others, o.Name)
			}
		}
		return m.client.Faults(ctx, api.Faults{Drop: others, Delay: map[string]string{}})
	})
}

func (s *swarm) heal(ctx context.Context) error {
	return s.each(ctx, func(ctx context.Context, m *member) error {
		return m.client.Faults(ctx, api.Faults{Drop: []string{}, Delay: map[string]string{}})
	})
}

// each runs f for all nodes at once.
func (s *swarm) each(ctx context.Context, f func(context.Context, *member) error) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	errs := make([]error, len(s.members))
	var wg sync.WaitGroup
	for i, m := range s.members {
		wg.Go(func() {
			if err := f(ctx, m); err != nil {
				errs[i] = fmt.Errorf("node %s: %w", m.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stop ends all nodes and reports those that did not end in order.
func (s *swarm) stop(within time.Duration) (problems []string) {
	children := make([]*child.Child, 0, len(s.members))
	for _, m := range s.members {
		children = append(children, m.Child)
		m.client.Close()
	}
	killed := child.StopAll(children, within)
	for _, m := range s.members {
		switch f := m.Failure(); {
		case slices.Contains(killed, m.Name):
			problems = append(problems, fmt.Sprintf("node %s did not end within %v of SIGTERM and was killed", m.Name, within))
		case f != "":
			problems = append(problems, f+"; its last lines:\n  "+strings.Join(child.Tail(m.Log), "\n  "))
		}
	}
	return problems
}
