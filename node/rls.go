package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/rls"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/policy"
)

// off is what --http and --grpc say when the node has no such door.
const off = "off"

// listenGRPC opens the address of --grpc: like one of --http, but that TLS is spoken only where others than who is on this machine come in.
func listenGRPC(addr string, files api.TLSFiles) (*api.Door, error) {
	if !api.Outside(addr) {
		files = api.TLSFiles{}
	}
	d, err := api.Listen(addr, files)
	var le *api.ListenError
	if errors.As(err, &le) {
		hint := strings.NewReplacer("--http", "--grpc", "7070", "7071").Replace(le.Hint())
		return nil, &OptionError{"grpc", fmt.Errorf("%s: %w", addr, le.Err), hint + "; --grpc off opens none"}
	}
	return d, err
}

// listenSocket opens the address of --socket.
func listenSocket(addr string) (*api.Door, error) {
	if !strings.HasPrefix(addr, "unix:") {
		return nil, &OptionError{"socket", fmt.Errorf("%q is no Unix socket", addr), "write it as --socket unix:/run/swarmpurse.sock; other machines use --http"}
	}
	d, err := api.Listen(addr, api.TLSFiles{})
	var le *api.ListenError
	if errors.As(err, &le) {
		return nil, &OptionError{"socket", fmt.Errorf("%s: %w", addr, le.Err), strings.ReplaceAll(le.Hint(), "--http", "--socket")}
	}
	return d, err
}

// SocketAddr is where callers in Go find the node, unix:/path; "" if there is no such door.
func (n *Node) SocketAddr() string {
	if n.sockLis == nil {
		return ""
	}
	return "unix:" + n.sockLis.Addr().String()
}

// maxDoors bounds the addresses of --http.
const maxDoors = 16

// listenHTTP opens the addresses of --http. The certificate is for those where others than who is on this machine come in; if there is
// none such, of --grpc neither, it is for all.
func (n *Node) listenHTTP() error {
	o := &n.opts
	if o.HTTP == off {
		return nil
	}
	addrs := strings.Split(o.HTTP, ",")
	if len(addrs) > maxDoors {
		return &OptionError{"http", fmt.Errorf("%d addresses; at most %d are possible", len(addrs), maxDoors), "one for this machine and one for others will do"}
	}
	outside := api.Outside(o.GRPC) || slices.ContainsFunc(addrs, api.Outside)
	for _, addr := range addrs {
		files := api.TLSFiles{Cert: o.TLSCert, Key: o.TLSKey}
		if outside && !api.Outside(addr) || len(addrs) > 1 && strings.HasPrefix(addr, "unix:") {
			files = api.TLSFiles{}
		}
		d, err := api.Listen(addr, files)
		if err != nil {
			return err
		}
		n.doors = append(n.doors, d)
	}
	return nil
}

// GRPCAddr is where the rate limit service listens: host:port, or unix:/path; "" if it does not.
func (n *Node) GRPCAddr() string {
	switch {
	case n.grpcLis == nil:
		return ""
	case n.grpcLis.Addr().Network() == "unix":
		return "unix:" + n.grpcLis.Addr().String()
	}
	return n.grpcLis.Addr().String()
}

// rlsNode is the node as its gRPC door sees it.
type rlsNode struct{ *Node }

var _ rls.Node = rlsNode{}

// Rules is the policy in force.
func (n rlsNode) Rules() *policy.Policy { return n.policy.Load().policy }

// Serving reports whether the node decides on calls.
func (n rlsNode) Serving() bool {
	ready := false
	return !n.draining.Load() && n.look(func(ledger.Instant) { ready = len(n.unready()) == 0 }) == nil && ready
}

// Left appends what is left of the instances that a decision drew on.
func (n rlsNode) Left(id string, list []admit.Left) []admit.Left {
	i, err := n.engine.Parse(id)
	if err != nil {
		return list
	}
	return n.engine.Left(n.now(), i, list)
}

// Report books what a call used that has run already.
func (n *Node) Report(ctx context.Context, r *admit.Request) (admit.Answer, error) {
	begin := time.Now()
	var id admit.ID
	ok := false
	if !n.jumped(begin) {
		id, ok = n.engine.TryRan(n.at(begin), r)
	}
	var err error
	if !ok {
		c := *r // the caller may go before the loop is done
		c.Tokens, c.Attributes = slices.Clone(r.Tokens), maps.Clone(r.Attributes)
		if e := n.ask(ctx, func(now ledger.Instant) { id, err = n.engine.Ran(now, n.replica, &c) }); e != nil {
			return admit.Answer{}, e
		}
	}
	if err != nil {
		return admit.Answer{}, err
	}
	d, err := n.engine.Lookup(id)
	if err != nil {
		return admit.Answer{}, err
	}
	n.metrics.Decision(d.Verdict.String(), d.Code, d.Class, d.Excused(), 0, time.Since(begin))
	if d.Verdict.Admitted() {
		n.metrics.Settlement(telemetry.Settled)
		for _, c := range d.Charged {
			n.metrics.Charge(c.Budget, int64(c.Amount), int64(c.Overrun))
		}
	}
	return d.Answer, nil
}
