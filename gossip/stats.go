package gossip

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reason says why something was dropped. The names are part of the metrics: append only.
type reason int

const (
	dropKind      reason = iota // a kind of frame that this version does not know
	dropVersion                 // a frame of a newer version
	dropMalformed               // a frame with our kind that cannot be read
	dropRateCount               // more messages than one peer may send
	dropRateBytes               // more bytes than one peer may send
	dropInbox                   // the delegate was too slow
	dropOwnName                 // a frame under our own name: a second node has it
	dropFault                   // by SetFaults
	dropState                   // a push/pull state larger than MaxState, in or out
	dropEarly                   // for serf, before serf had started
	dropLabel                   // packet or stream of another cluster
	dropKey                     // packet or stream that no key of ours opens
	dropGarbage                 // packet or stream that is no memberlist message
	dropOutbox                  // Spread: too many keys or bytes waiting, the lightest went
	dropTooLarge                // Spread: above MaxPayload
	dropWave                    // Spread: a later wave was overtaken by newer items
	dropQueue                   // Send: the peer's queue was full
	dropGone                    // Send: the peer left or could not be reached
	dropError                   // the network refused to send
	dropDelay                   // more packets under an artificial delay than are kept
	dropFlood                   // more packets or bytes of them than one address may send
	nReasons
)

var reasonNames = [nReasons]string{
	"unknown_kind", "newer_version", "malformed", "peer_message_rate", "peer_byte_rate", "inbox_full", "own_name",
	"fault", "state_too_large", "before_start", "foreign_label", "foreign_key", "garbage",
	"outbox_full", "too_large", "later_wave", "peer_queue_full", "peer_unreachable", "send_error", "delay_queue_full", "address_rate",
}

// Traffic counts one direction.
type Traffic struct {
	// Packets and Bytes are all of memberlist's traffic, SWIM and push/pull included, counted at
	// the transport: UDP payloads and TCP streams, without IP, UDP and TCP headers (28 bytes a packet).
	Packets, Streams, Bytes uint64
	// Messages and MessageBytes are ours: payloads of Send, Spread and Relay, counted once per peer.
	Messages, MessageBytes uint64
}

// Stats is a snapshot of the pool's counters, which only grow, and its queues.
type Stats struct {
	Sent, Received Traffic
	Dropped        map[string]uint64 // by reason, see the metric swarmpurse_gossip_dropped_total; zeros are left out

	OutboxItems, OutboxBytes int           // keys waiting to be spread
	OutboxAge                time.Duration // how long the oldest of them has waited
	SendQueue                int           // messages of Send that wait for the network
	Inbox                    int           // frames that wait for the delegate
	Members, Alive           int           // known, and alive, ourselves included
	Health                   int           // memberlist's own: 0 is well, more means that this node is slow
}

type counters struct {
	sent, received struct{ packets, streams, bytes, messages, messageBytes atomic.Uint64 }
	dropped        [nReasons]atomic.Uint64
}

func (c *counters) drop(r reason)         { c.dropped[r].Add(1) }
func (c *counters) dropN(r reason, n int) { c.dropped[r].Add(uint64(n)) }

func (c *counters) countSent(messages, bytes int) {
	c.sent.messages.Add(uint64(messages))
	c.sent.messageBytes.Add(uint64(bytes))
}

// Stats answers from atomics and short locks.
func (p *Pool) Stats() Stats {
	c := &p.count
	s := Stats{Dropped: make(map[string]uint64)}
	for r := range nReasons {
		if n := c.dropped[r].Load(); n > 0 {
			s.Dropped[reasonNames[r]] = n
		}
	}
	s.Sent = Traffic{c.sent.packets.Load(), c.sent.streams.Load(), c.sent.bytes.Load(), c.sent.messages.Load(), c.sent.messageBytes.Load()}
	s.Received = Traffic{c.received.packets.Load(), c.received.streams.Load(), c.received.bytes.Load(),
		c.received.messages.Load(), c.received.messageBytes.Load()}
	s.OutboxItems, s.OutboxBytes, s.OutboxAge = p.outbox.size()
	s.SendQueue = p.packets.len() + p.streams.len()
	s.Inbox = len(p.inbox.queue)
	v := p.view.Load()
	s.Members, s.Alive = len(v.members), len(v.alive)
	if m, ok := v.byName[p.opts.Name]; ok && v.members[m].Status == Alive {
		s.Alive++
	}
	s.Health = p.memberlist().GetHealthScore()
	return s
}

// collector turns Stats into metrics when it is asked, so that nothing is counted twice.
type collector struct{ p *Pool }

var (
	descBytes    = prometheus.NewDesc("swarmpurse_gossip_bytes_total", "Bytes on the gossip port, membership included, without IP, UDP and TCP headers.", []string{"direction"}, nil)
	descPackets  = prometheus.NewDesc("swarmpurse_gossip_packets_total", "UDP packets on the gossip port.", []string{"direction"}, nil)
	descStreams  = prometheus.NewDesc("swarmpurse_gossip_streams_total", "TCP streams on the gossip port.", []string{"direction"}, nil)
	descMessages = prometheus.NewDesc("swarmpurse_gossip_messages_total", "Messages of the node, once per peer.", []string{"direction"}, nil)
	descPayload  = prometheus.NewDesc("swarmpurse_gossip_message_bytes_total", "Payload bytes of the node's messages, once per peer.", []string{"direction"}, nil)
	descDropped  = prometheus.NewDesc("swarmpurse_gossip_dropped_total", "Packets, frames and messages dropped.", []string{"reason"}, nil)
	descItems    = prometheus.NewDesc("swarmpurse_gossip_outbox_items", "Keys waiting to be spread.", nil, nil)
	descOutbox   = prometheus.NewDesc("swarmpurse_gossip_outbox_bytes", "Payload bytes waiting to be spread.", nil, nil)
	descAge      = prometheus.NewDesc("swarmpurse_gossip_outbox_age_seconds", "How long the oldest key has waited to be spread.", nil, nil)
	descQueue    = prometheus.NewDesc("swarmpurse_gossip_send_queue", "Point to point messages waiting for the network.", nil, nil)
	descInbox    = prometheus.NewDesc("swarmpurse_gossip_inbox", "Received frames waiting for the node.", nil, nil)
	descMembers  = prometheus.NewDesc("swarmpurse_gossip_members", "Members known, by status, this node included.", []string{"status"}, nil)
	descHealth   = prometheus.NewDesc("swarmpurse_gossip_health_score", "0 is well; more means that this node is slow to answer probes.", nil, nil)
)

// Metrics describes what a Pool registers; it is not to be registered itself.
func Metrics() prometheus.Collector { return collector{} }

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descBytes, descPackets, descStreams, descMessages, descPayload, descDropped,
		descItems, descOutbox, descAge, descQueue, descInbox, descMembers, descHealth} {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.p.Stats()
	counter := func(d *prometheus.Desc, v uint64, label ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), label...)
	}
	gauge := func(d *prometheus.Desc, v float64, label ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, label...)
	}
	for _, dir := range []struct {
		name string
		t    Traffic
	}{{"sent", s.Sent}, {"received", s.Received}} {
		counter(descBytes, dir.t.Bytes, dir.name)
		counter(descPackets, dir.t.Packets, dir.name)
		counter(descStreams, dir.t.Streams, dir.name)
		counter(descMessages, dir.t.Messages, dir.name)
		counter(descPayload, dir.t.MessageBytes, dir.name)
	}
	for _, name := range reasonNames { // zeros too: an alert needs the series before the first drop
		counter(descDropped, s.Dropped[name], name)
	}
	gauge(descItems, float64(s.OutboxItems))
	gauge(descOutbox, float64(s.OutboxBytes))
	gauge(descAge, s.OutboxAge.Seconds())
	gauge(descQueue, float64(s.SendQueue))
	gauge(descInbox, float64(s.Inbox))
	gauge(descHealth, float64(s.Health))
	var by [statuses]int
	for _, m := range c.p.Members() {
		by[m.Status]++
	}
	for st, n := range by {
		gauge(descMembers, float64(n), Status(st).String())
	}
}
