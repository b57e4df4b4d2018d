package node

import (
	"context"
	"time"

	"github.com/swarmpurse/swarmpurse/node/telemetry/traces"
)

// flushTraces is how long a node that ends waits for its last spans to be taken.
const flushTraces = 3 * time.Second

func (n *Node) openTraces(ctx context.Context) error {
	o := &n.opts
	var counts traces.Counts
	if err := o.Registry.Register(&counts); err != nil {
		return err
	}
	var err error
	n.traces, err = traces.Open(ctx, traces.Options{Endpoint: o.OTLP, Node: o.Name, Cluster: o.Cluster, Zone: o.Zone, Version: o.Version}, &counts, n.part("traces"))
	if err != nil {
		return &OptionError{"otlp", err, "name an OTLP collector, as in --otlp http://127.0.0.1:4318 or --otlp grpc://127.0.0.1:4317"}
	}
	return nil
}

func (n *Node) closeTraces() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTraces)
	defer cancel()
	if err := n.traces.Close(ctx); err != nil {
		n.log.Warn().Err(err).Msg("the last traces were not taken in time")
	}
}
