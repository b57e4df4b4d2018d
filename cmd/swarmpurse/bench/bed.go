package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/demo"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/child"
)

// policyDoc draws on one budget of all and on one of a tenant.
const policyDoc = `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
classes:
  - {name: standard, weight: 1, latency_budget: 10s, default: true}
budgets:
  - {name: pool, token: compute, supply: {grant: 1000000000000000}}
  - {name: tenant-month, token: compute, per: [tenant], supply: {window: month, amount: 1000000000000000}}
ratelimit:
  - {domain: llm, descriptors: [{match: {tenant: "*", model: "*"}, hits: tokens.compute}]}
rules:
  - draw: [pool, tenant-month]
default: deny
`

// Bounds of what is waited for.
const (
	startWithin = time.Minute
	endWithin   = 20 * time.Second
	lookEvery   = 20 * time.Millisecond
)

// bed is all that is measured, as processes.
type bed struct {
	o    *Options
	dir  string
	all  []*child.Child
	bare addresses

	proxy string // address of the bare proxy

	http, grpc, socket string // of the node
	redis              string // its socket; "": there is none
	noRedis            string // why
}

// start starts a node with a data directory, so that it audits, with a peer, to which what it signs goes; the bare servers; and Redis.
func start(ctx context.Context, o *Options) (b *bed, err error) {
	b = &bed{o: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.logs())
			b.stop()
		}
	}()
	if b.dir, err = os.MkdirTemp("", "swarmpurse-bench"); err != nil { // short: a socket's path has a limit
		return b, err
	}
	if _, err := b.run("bare", o.Binary, nil, "bench", "bare", b.dir); err != nil {
		return b, err
	}
	if err := b.told(ctx, "the bare servers", addressFile, &b.bare); err != nil {
		return b, err
	}
	if o.wants("proxy") {
		if _, err := b.run("proxy", o.Binary, nil, "bench", "bare", b.dir, "http://"+b.bare.Upstream); err != nil {
			return b, err
		}
		if err := b.told(ctx, "the bare proxy", proxyFile, &b.proxy); err != nil {
			return b, err
		}
	}
	if err := b.startNodes(ctx); err != nil {
		return b, err
	}
	if o.wants("socket") {
		err = b.startRedis(ctx)
	}
	return b, err
}

// told waits for what a process tells in a file.
func (b *bed) told(ctx context.Context, what, file string, v any) error {
	return b.await(ctx, what, func() error {
		src, err := os.ReadFile(filepath.Join(b.dir, file))
		if err == nil {
			err = json.Unmarshal(src, v)
		}
		return err
	})
}

func (b *bed) startNodes(ctx context.Context) error {
	policy := filepath.Join(b.dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(policyDoc), 0o600); err != nil {
		return err
	}
	ports, err := demo.FreePorts(5)
	if err != nil {
		return err
	}
	b.http, b.grpc, b.socket = ports[1], ports[2], "unix:"+filepath.Join(b.dir, "n1.sock")
	common := []string{"node", "--policy", policy, "--cluster", filepath.Base(b.dir), "--bootstrap-expect", "2", "--log-level", "warn", "--drain", "1s"}
	for _, args := range [][]string{
		{"--name", "n1", "--gossip", ports[0], "--http", b.http, "--grpc", b.grpc, "--socket", b.socket, "--data", filepath.Join(b.dir, "n1"), "--upstream", "openai=http://" + b.bare.Upstream + "/v1"},
		{"--name", "n2", "--gossip", ports[3], "--http", ports[4], "--grpc", "off", "--data", filepath.Join(b.dir, "n2"), "--join", ports[0]},
	} {
		if _, err := b.run(args[1], b.o.Binary, []string{"SWARMPURSE_UPSTREAM_KEY_OPENAI=sk-bench"}, append(common, args...)...); err != nil {
			return err
		}
	}
	c, err := api.NewClient("http://" + b.http)
	if err != nil {
		return err
	}
	defer c.Close()
	return b.await(ctx, "the node", func() error {
		st, err := c.Status(ctx)
		if err == nil && !st.Ready {
			err = errors.New(strings.Join(st.Reasons, "; "))
		}
		return err
	})
}

func (b *bed) startRedis(ctx context.Context) error {
	if b.o.Redis == "off" {
		b.noRedis = "it is off"
		return nil
	}
	program, err := exec.LookPath(b.o.Redis)
	if err != nil {
		b.noRedis = fmt.Sprintf("%v: install it (Debian: apt-get install redis-server) to see the socket beside it, or name it with --redis", err)
		return nil
	}
	sock := filepath.Join(b.dir, "redis.sock")
	if _, err := b.run("redis", program, nil, "--port", "0", "--unixsocket", sock, "--save", "", "--appendonly", "no", "--dir", b.dir); err != nil {
		return err
	}
	if err := b.await(ctx, "redis", func() error {
		conn, err := net.Dial("unix", sock)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}); err != nil {
		return err
	}
	b.redis = sock
	return nil
}

func (b *bed) run(name, program string, env []string, args ...string) (*child.Child, error) {
	c, err := child.Start(child.Spec{Name: name, Log: filepath.Join(b.dir, name+".log"), Binary: program, Args: args, Env: append(child.Env(), env...)})
	if err == nil {
		b.all = append(b.all, c)
	}
	return c, err
}

// pid is that of a process by its name.
func (b *bed) pid(name string) int {
	for _, c := range b.all {
		if c.Name == name {
			return c.Pid
		}
	}
	return 0
}

// await asks until something is so.
func (b *bed) await(ctx context.Context, what string, so func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		err := so()
		if err == nil {
			return nil
		}
		for _, c := range b.all {
			if f := c.Failure(); f != "" {
				return errors.New(f)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s did not start: %w", what, err)
		}
	}
}

// logs are the last lines of what went wrong.
func (b *bed) logs() error {
	var errs []error
	for _, c := range b.all {
		if src, err := os.ReadFile(c.Log); err == nil && len(src) > 0 {
			lines := strings.Split(strings.TrimSpace(string(src)), "\n")
			errs = append(errs, fmt.Errorf("%s: %s", c.Name, lines[len(lines)-1]))
		}
	}
	return errors.Join(errs...)
}

func (b *bed) stop() {
	child.StopAll(b.all, endWithin)
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}
