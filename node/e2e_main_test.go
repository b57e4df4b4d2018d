//go:build unix

package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/node"
)

// childEnv holds the settings of a node, as JSON, in a process that is to be that node: the tests start this
// very binary once for each.
const childEnv = "SWARMPURSE_TEST_NODE"

// settings are what of node.Options a test sets.
type settings struct {
	Name, Cluster, Gossip, HTTP, Data, Policy, Keyring string
	Zone                                               string
	Join, Upstreams                                    []string
	Expect                                             int
	Debug                                              bool
	Mend                                               bool // a cut is mended at production's pace
	Drain                                              time.Duration
	FailDisk                                           string // see failDisk; "" leaves the disk alone
}

// addresses is the first line that a child writes.
type addresses struct{ Gossip, HTTP string }

// quick makes failure and repair of the membership take a second or two; everything of ours keeps its pace.
// The time between full push/pulls stays that of production, so that nothing here leans on them.
var quick = gossip.Tuning{
	ProbeInterval: 500 * time.Millisecond, ProbeTimeout: 250 * time.Millisecond, SuspicionMult: 3, ReconnectInterval: time.Second,
	LeaveDelay: 200 * time.Millisecond, JoinJitter: 10 * time.Millisecond, JoinAgain: 300 * time.Millisecond,
	RejoinInterval: 5 * time.Second,
}

func TestMain(m *testing.M) {
	if s, ok := os.LookupEnv(childEnv); ok {
		os.Exit(runChild(s))
	}
	os.Exit(m.Run())
}

func (s *settings) options(log io.Writer) node.Options {
	level := zerolog.InfoLevel
	if s.Debug {
		level = zerolog.DebugLevel
	}
	tuning := quick
	if s.Mend {
		tuning.ReconnectInterval, tuning.RejoinInterval = 0, 0
	}
	return node.Options{
		Name: s.Name, Cluster: s.Cluster, Gossip: s.Gossip, HTTP: s.HTTP, Data: s.Data, PolicyFile: s.Policy,
		KeyringFile: s.Keyring, Zone: s.Zone, Join: s.Join, Upstreams: s.Upstreams, BootstrapExpect: s.Expect, Drain: s.Drain, Faults: true, GossipTuning: &tuning,
		Logger: zerolog.New(log).Level(level).With().Timestamp().Logger(),
	}
}

// runChild is a node process. It ends when its standard input does, so that none outlives the tests.
func runChild(spec string) int {
	var s settings
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 2
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(4)
	}()
	if s.FailDisk != "" {
		if err := failDisk(s.FailDisk); err != nil {
			return fail(err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	n, err := node.Open(ctx, s.options(os.Stderr))
	if err != nil {
		return fail(err)
	}
	go func() {
		for range hup {
			if err := n.Reload(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "reload:", err)
			}
		}
	}()
	line, _ := json.Marshal(addresses{n.GossipAddr(), n.HTTPAddr()})
	fmt.Println(string(line))
	if err := n.Run(ctx); err != nil {
		return fail(err)
	}
	return 0
}

// fail writes an error as the command line does.
func fail(err error) int {
	fmt.Fprintln(os.Stderr, "error:", err)
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		fmt.Fprintln(os.Stderr, "hint:", h.Hint())
	}
	return 1
}
