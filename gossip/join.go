package gossip

import (
	"context"
	"fmt"
	"net"
	"time"
)

const (
	enoughSeeds = 3 // joined at start; membership gossips on from there
	somePeers   = 8 // of the last life, tried in one pass after the seeds
	maxBackoff  = 30 * time.Second
)

// join finds the cluster and keeps looking for lost parts of it. Serf tries again whom it has seen
// fail; this loop is for those that it never met in this life: seeds that were not up yet, and peers
// of the last life when none of them answered at once.
func (p *Pool) join(ctx context.Context, seeds, peers []string) {
	if len(seeds)+len(peers) == 0 {
		return
	}
	if !pause(ctx, p.jitter(p.tune.JoinJitter)) {
		return
	}
	backoff := time.Second
	for try := 1; ; try++ {
		n := 0
		for _, at := range p.places(seeds, peers) {
			if n < enoughSeeds && p.joinOne(ctx, at) {
				n++
			}
		}
		if ctx.Err() != nil {
			return
		}
		if n > 0 {
			p.log.Info().Int("joined", n).Int("alive", len(p.look().alive)+1).Msg("joined the cluster")
			break
		}
		if len(p.Alive()) > 0 { // they found us
			break
		}
		wait := backoff/2 + p.jitter(backoff/2)
		p.log.Warn().Strs("seeds", seeds).Int("known", len(peers)).Int("try", try).Dur("next", wait).
			Msg("no seed could be joined; going on alone, check that they run, their addresses, cluster name and keys")
		if !pause(ctx, wait) {
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
	// A first push/pull can meet a seed that itself is just joining: ask one again when it has settled.
	if !pause(ctx, p.tune.JoinAgain) {
		return
	}
	for _, at := range p.places(seeds, peers) {
		if p.joinOne(ctx, at) {
			break
		}
	}
	for pause(ctx, p.tune.RejoinInterval/2+p.jitter(p.tune.RejoinInterval)) {
		for _, at := range p.places(seeds, peers) {
			if !p.isSelf(at) && !p.livesAt(at) {
				p.joinOne(ctx, at)
				break // one at a time: this is a slow loop
			}
		}
	}
}

// places is what to try in one pass, in an order by chance, so that not all start with one seed.
func (p *Pool) places(seeds, peers []string) []string {
	p.shuffle(seeds)
	p.shuffle(peers)
	return append(append([]string(nil), seeds...), peers[:min(len(peers), somePeers)]...)
}

func (p *Pool) joinOne(ctx context.Context, at string) bool {
	if ctx.Err() != nil || p.isSelf(at) {
		return false
	}
	// The true says: do not replay old user events; we use none.
	if _, err := p.serf.Join([]string{at}, true); err != nil {
		p.log.Debug().Err(err).Str("seed", at).Msg("seed not joined")
		return false
	}
	signal(p.changed)
	return true
}

// Sync asks for a push/pull with a member now instead of at memberlist's leisure (each node does one
// with a random peer every half minute, more seldom in large pools): after a partition, say. It
// returns at once; the delegate's LocalState and MergeState see it as a join.
func (p *Pool) Sync(name string) error {
	v := p.view.Load()
	i, ok := v.byName[name]
	if !ok || v.members[i].Self {
		return fmt.Errorf("gossip: %w %q among %d members", ErrUnknownPeer, name, len(v.members))
	}
	select {
	case p.syncs <- v.members[i].Addr:
		return nil
	default:
		return fmt.Errorf("gossip: %w: %d members wait to be synced; retry later", ErrQueueFull, cap(p.syncs))
	}
}

func (p *Pool) sync() {
	for {
		select {
		case at := <-p.syncs:
			// As serf reconnects: beneath serf.Join, which would also tell everyone that we joined.
			if _, err := p.memberlist().Join([]string{at}); err != nil {
				p.log.Debug().Err(err).Str("peer", at).Msg("not synced")
			}
		case <-p.done:
			return
		}
	}
}

// isSelf knows our own address in the list of seeds, which all nodes of a cluster may share;
// memberlist would join itself and call it a success.
func (p *Pool) isSelf(at string) bool {
	v := p.view.Load()
	me, ok := v.byName[p.opts.Name]
	for _, addr := range resolve(at) {
		if addr == p.addr || (ok && addr == v.members[me].Addr) {
			return true
		}
	}
	return false
}

func (p *Pool) livesAt(at string) bool {
	v := p.view.Load()
	for _, addr := range resolve(at) {
		if name, ok := v.byAddr[addr]; ok && v.members[v.byName[name]].Status == Alive {
			return true
		}
	}
	return false
}

// resolve makes host:port comparable; nothing if the name is not known now.
func resolve(at string) []string {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil {
		return []string{net.JoinHostPort(ip.String(), port)}
	}
	ips, err := net.LookupIP(host)
	if err != nil {
		return nil
	}
	out := make([]string, 0, len(ips))
	for _, ip := range ips {
		out = append(out, net.JoinHostPort(ip.String(), port))
	}
	return out
}

// pause waits, or answers false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (p *Pool) jitter(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	p.randMu.Lock()
	defer p.randMu.Unlock()
	return time.Duration(p.opts.Rand.Int64N(int64(most)))
}

func (p *Pool) shuffle(s []string) {
	p.randMu.Lock()
	defer p.randMu.Unlock()
	p.opts.Rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}
