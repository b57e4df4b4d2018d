package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/child"
)

const (
	gossipPort  = 7946
	diskSize    = 24 << 20
	startWithin = 60 * time.Second      // until the whole swarm is ready
	upWithin    = 20 * time.Second      // until a process answers
	endWithin   = 60 * time.Second      // for an orderly end, in which rights are handed on
	againAfter  = time.Second           // a process that ended is started again, as a supervisor would
	pollEvery   = 50 * time.Millisecond // while waiting for something
	lookWithin  = 5 * time.Second       // one answer of a node
	filler      = "filler"              // the file that fills a disk
)

// member is one node: its place, and the process that runs there now. Its methods that start and end processes are
// for the one goroutine that has its track.
type member struct {
	index  int
	name   string
	space  *space
	disk   string // directory, a file system of its own
	log    string
	args   []string
	client *api.Client

	mu      sync.Mutex
	proc    *child.Child // nil: none runs, and none is to
	binary  string
	life    int
	process int
	wrong   time.Duration // what the clock is to be off by
	since   time.Time     // since when
	full    bool          // the disk was filled, or was until just now
	stopped bool          // by SIGSTOP
	refused int           // starts that failed since the disk was filled
}

// swarm is all nodes and the network between them.
type swarm struct {
	members []*member
	relay   *Relay
	say     func(format string, args ...any)

	mu       sync.Mutex
	problems []string
	notes    []string
	crashes  int
	losses   []Loss
	jumps    []Jump
	watchers sync.WaitGroup
}

func newSwarm(o *Options, policy string, say func(string, ...any)) (*swarm, error) {
	s := &swarm{say: say}
	file := filepath.Join(o.Dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	var devices []io.ReadWriteCloser
	for i := range o.Nodes {
		m := &member{index: i, name: nodeName(i), binary: o.Binary}
		m.disk, m.log = filepath.Join(o.Dir, m.name), filepath.Join(o.Dir, m.name+".log")
		err := os.Mkdir(m.disk, 0o700)
		if err == nil {
			err = mountMemory(m.disk, diskSize)
		}
		if err == nil {
			m.space, err = newSpace(i)
		}
		sock := "unix:" + filepath.Join(o.Dir, m.name+".sock")
		if err == nil {
			m.client, err = api.NewClient(sock)
		}
		if err != nil {
			return nil, err
		}
		m.args = []string{
			"node", "--name", m.name, "--gossip", gossipAddr(i), "--http", sock, "--grpc", "off", "--cluster", "chaos-" + strconv.FormatUint(o.Seed, 10),
			"--zone", zoneOf(i, o.Nodes), "--host", m.name, "--bootstrap-expect", strconv.Itoa(o.Nodes), "--policy", file, "--data", filepath.Join(m.disk, "data"),
			"--faults", "--log-format", "json",
		}
		for j := range min(3, o.Nodes) {
			if j != i {
				m.args = append(m.args, "--join", gossipAddr(j))
			}
		}
		addrs, devices = append(addrs, m.space.addr), append(devices, m.space.device)
		s.members = append(s.members, m)
	}
	s.relay = NewRelay(o.Seed, addrs, devices)
	return s, nil
}

func gossipAddr(i int) string { return netip.AddrPortFrom(addressOf(i), gossipPort).String() }

// problem books what must not be, and says so at once.
func (s *swarm) problem(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.say("PROBLEM: %s", text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, text)
}

// note books what is worth telling in the report.
func (s *swarm) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.say("%s", text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, text)
}

// door is the node for its callers.
func (m *member) door() *Door {
	return &Door{m.index, m.client, func() (Life, int) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return Life{m.index, m.life}, m.process
	}}
}

// start starts a node's process and watches over it.
func (s *swarm) start(m *member) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.startLocked(m)
}

func (s *swarm) startLocked(m *member) error {
	c, err := child.Start(child.Spec{Name: m.name, Log: m.log, Binary: m.binary, Args: m.args, Env: child.Env(), Enter: m.space.enter})
	if err != nil {
		return err
	}
	m.proc = c
	m.process++
	if by := m.lagLocked(); by > 0 {
		s.jumped(m, time.Now().Add(-time.Second), time.Now().Add(upWithin), by) // it starts at the right time
	}
	s.watchers.Go(func() { s.watch(m, c) })
	return nil
}

// watch waits for the end of a process. One that nobody told to end is started again; only a full disk
// excuses it.
func (s *swarm) watch(m *member, c *child.Child) {
	up, cancel := context.WithCancel(context.Background())
	go func() {
		<-c.Ended()
		cancel()
	}()
	answered := s.answers(up, m) == nil
	if answered && m.off() != 0 {
		// A machine's clock is still off when a process on it starts again.
		if err := s.setClock(up, m); err != nil {
			s.note("%s did not hear that its clock is off by %v: %v", m.name, m.off(), err)
		}
	}
	<-c.Ended()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc != c {
		return // it was told to
	}
	tail := child.Tail(m.log)
	if answered {
		s.mu.Lock()
		s.crashes++
		s.mu.Unlock()
	}
	switch {
	case m.full && answered:
		s.note("%s ended as its disk was full, and is started again; its last lines:\n  %s", m.name, strings.Join(tail, "\n  "))
	case m.full:
		if m.refused++; m.refused == 1 {
			s.note("%s does not start while its disk is full; its last lines:\n  %s", m.name, strings.Join(tail, "\n  "))
		}
	default:
		s.problem("%s; its last lines:\n  %s", c.Failure(), strings.Join(tail, "\n  "))
	}
	m.mu.Unlock()
	time.Sleep(againAfter)
	m.mu.Lock()
	if m.proc != c {
		return
	}
	if err := s.startLocked(m); err != nil {
		s.problem("%v", err)
	}
}

// kill ends a process as a power cut would, from its own point of view.
func (s *swarm) kill(m *member) {
	m.mu.Lock()
	c := m.proc
	m.proc = nil
	m.mu.Unlock()
	s.mu.Lock()
	s.crashes++
	s.mu.Unlock()
	c.Signal(os.Kill)
	<-c.Ended()
}

// wipe empties a node's directory, which loses all that only that node knew since that time. The process must have
// ended.
func (s *swarm) wipe(m *member, since time.Time) error {
	if err := os.RemoveAll(filepath.Join(m.disk, "data")); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losses = append(s.losses, Loss{Life{m.index, m.life}, time.Now(), since})
	m.life++
	return nil
}

// terminate asks a process to end in order and waits for it.
func (s *swarm) terminate(m *member) {
	m.mu.Lock()
	c, full := m.proc, m.full
	m.proc = nil
	m.mu.Unlock()
	c.Signal(syscall.SIGTERM)
	select {
	case <-c.Ended():
	case <-time.After(endWithin):
		s.problem("%s did not end within %v of SIGTERM and was killed", m.name, endWithin)
		c.Signal(os.Kill)
		<-c.Ended()
		return
	}
	if f := c.Failure(); f != "" && !full {
		s.problem("%s after SIGTERM; its last lines:\n  %s", f, strings.Join(child.Tail(m.log), "\n  "))
	}
}

// answers waits until a node answers, or ctx ends.
func (s *swarm) answers(ctx context.Context, m *member) error {
	for {
		look, cancel := context.WithTimeout(ctx, lookWithin)
		_, err := m.client.Status(look)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", m.name, err)
		case <-time.After(pollEvery):
		}
	}
}

// comesUp waits until a node answers that was just started. It fails if the node does not, unless its disk is full:
// then it is tried again when there is room.
func (s *swarm) comesUp(ctx context.Context, m *member) error {
	if m.isFull() {
		return nil
	}
	up, cancel := context.WithTimeout(ctx, upWithin)
	defer cancel()
	if err := s.answers(up, m); err != nil && ctx.Err() == nil && m.runs() && !m.isFull() && !m.isStopped() {
		return err
	}
	return nil
}

// setClock tells a node what its clock is to be off by.
func (s *swarm) setClock(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	return m.client.Faults(ctx, api.Faults{Clock: m.off().String()})
}

// off is what the node's clock is to be off by.
func (m *member) off() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wrong
}

// jumped books a step forward of a node's clock.
func (s *swarm) jumped(m *member, from, to time.Time, by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jumps = append(s.jumps, Jump{m.index, from, to, by})
}

// fill fills a node's disk to the last byte.
func (m *member) fill() error {
	m.mu.Lock()
	m.full, m.refused = true, 0
	m.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(m.disk, filler), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for block := make([]byte, 1<<16); len(block) > 0; {
		if _, err = f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
			err = nil
		} else if err != nil {
			break
		}
	}
	return errors.Join(err, f.Close())
}

// free makes room on a node's disk again.
func (m *member) free() error { return os.Remove(filepath.Join(m.disk, filler)) }

// excused says that a full disk is no excuse any more.
func (m *member) excused() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = false
}

// look asks a node all that it knows.
func (m *member) look(ctx context.Context) (v View, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	v = View{Node: m.name, Budgets: map[string]api.Budget{}}
	if v.Status, err = m.client.Status(ctx); err != nil {
		return v, err
	}
	if v.Members, err = m.client.Members(ctx); err != nil {
		return v, err
	}
	p, err := m.client.Policy(ctx)
	if err != nil {
		return v, err
	}
	v.Policy = p.Revision
	for _, b := range []string{Jobs, Turns, Pool, Gates, Pace} {
		if v.Budgets[b], err = m.client.Budget(ctx, b); err != nil {
			return v, err
		}
	}
	return v, nil
}

// looks asks some nodes at once. It fails if one does not answer.
func looks(ctx context.Context, nodes []*member) ([]View, error) {
	views, errs := make([]View, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, m := range nodes {
		wg.Go(func() {
			if views[i], errs[i] = m.look(ctx); errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", m.name, errs[i])
			}
		})
	}
	wg.Wait()
	return views, errors.Join(errs...)
}

// agree waits until all nodes are at rest and agree, by the judge that it is given. It returns the last views, and in what they differ: "" if in
// nothing; then late is in what they differed last.
func (s *swarm) agree(ctx context.Context, differ func(views []View, nodes int) string) (views []View, why, late string) {
	for {
		late = why
		v, err := looks(ctx, s.members)
		switch {
		case err == nil:
			views, why = v, differ(v, len(s.members))
		case ctx.Err() == nil:
			why = err.Error()
		}
		if why == "" {
			return views, "", late
		}
		select {
		case <-ctx.Done():
			return views, why, late
		case <-time.After(pollEvery):
		}
	}
}

// ended counts the generations that another one followed in its directory, and of them those that were claimed while their
// process ran, by what the nodes' logs say.
func (s *swarm) ended() (all, givenUp int, err error) {
	for _, m := range s.members {
		b, err := os.ReadFile(m.log)
		if err != nil {
			return 0, 0, err
		}
		n := bytes.Count(b, []byte("was given up by its guardians"))
		givenUp += n
		all += n + bytes.Count(b, []byte("this node goes on as its next generation")) + bytes.Count(b, []byte("was given up while the node was away"))
	}
	return all, givenUp, nil
}

// close ends all processes and the network. It reports the nodes that did not end in order.
func (s *swarm) close() {
	var list []*child.Child
	for _, m := range s.members {
		m.mu.Lock()
		if m.proc != nil {
			m.proc.Signal(syscall.SIGCONT)
			list = append(list, m.proc)
		}
		m.proc = nil
		m.mu.Unlock()
	}
	killed := child.StopAll(list, endWithin)
	for _, c := range list {
		switch f := c.Failure(); {
		case slices.Contains(killed, c.Name):
			s.problem("%s did not end within %v of SIGTERM and was killed", c.Name, endWithin)
		case f != "":
			s.problem("%s after SIGTERM; its last lines:\n  %s", f, strings.Join(child.Tail(c.Log), "\n  "))
		}
	}
	s.watchers.Wait()
	if s.relay != nil {
		if err := s.relay.Close(); err != nil {
			s.problem("the relay: %v", err)
		}
	}
	for _, m := range s.members {
		m.client.Close()
		m.space.close()
	}
}

// signal stops a node's process, or lets it go on.
func (s *swarm) signal(m *member, sig syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = sig == syscall.SIGSTOP
	if m.proc != nil {
		m.proc.Signal(sig)
	}
}

func (m *member) isStopped() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stopped
}

// runs reports whether a process is to run.
func (m *member) runs() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc != nil
}

func (m *member) isFull() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.full
}

// renew has the next process run another binary.
func (m *member) renew(binary string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.binary = binary
}

// setOff says what the clock is to be off by.
func (m *member) setOff(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrong, m.since = d, time.Now()
}

// lag is how far the clock can be behind at most: a step back is worked off by running a tenth slower.
func (m *member) lag() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lagLocked()
}

func (m *member) lagLocked() time.Duration {
	if m.wrong >= 0 {
		return 0
	}
	return min(-m.wrong, time.Since(m.since)/10+time.Second)
}
