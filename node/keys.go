package node

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/node/identity"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/store"
)

// Who signs with what. A node tells its key by its tags, and with what it says to who may not have heard those. See package seal.

const (
	tagKey = "key" // public key of the data directory; a version without it signs nothing

	keyRun = "identity/run"
)

// openIdentity takes the node's key up, and begins a run of its signatures.
func (n *Node) openIdentity() error {
	key, err := n.loadIdentity()
	if err != nil {
		return err
	}
	old, err := n.store.Get(store.Meta, keyRun)
	if err != nil {
		return err
	}
	run, before := uint64(max(1, n.started.UnixMilli())), uint64(0)
	if len(old) == 8 {
		before = binary.BigEndian.Uint64(old)
		run = max(run, before+1) // also where the clock was put back
	}
	if err := n.store.Commit([]store.Write{{Bucket: store.Meta, Key: keyRun, Value: binary.BigEndian.AppendUint64(nil, run)}}); err != nil {
		return err
	}
	n.setKey(key, run)
	n.beginRun(before)
	return nil
}

func (n *Node) setKey(key identity.Key, run uint64) {
	n.key = key
	n.signer = seal.NewSigner(n.opts.Name, n.dir, key.Private(), run)
	n.book = seal.NewBook(n.opts.Name)
	if err := n.book.Meet(n.opts.Name, n.dir, key.Public()); err != nil {
		panic("BUG: " + err.Error()) // the book is empty
	}
}

// peers is what is known of how members tell of themselves, apart from the loop: letters are sent and read beside it.
type peers struct {
	mu      sync.Mutex // guards all below
	keys    map[string]string
	lives   map[string]bool // of keys: who joins hears of no others
	met     map[string]time.Time
	last    time.Time // of met
	unkeyed bool      // a member that lives signs nothing
}

// meetKeys takes over what members tell of their keys. The loop's.
func (n *Node) meetKeys(members []gossip.Member) {
	p := &n.peers
	p.mu.Lock()
	was, met := p.keys, p.met
	p.keys, p.met, p.unkeyed = make(map[string]string, len(members)), make(map[string]time.Time, len(members)), false
	p.lives = make(map[string]bool, len(members))
	now := time.Now()
	for _, m := range members {
		if m.Self {
			continue
		}
		p.keys[m.Name] = m.Tags[tagKey]
		p.lives[m.Name] = m.Status == gossip.Alive
		p.unkeyed = p.unkeyed || m.Status == gossip.Alive && m.Tags[tagKey] == ""
		if at, known := met[m.Name]; known && was[m.Name] == m.Tags[tagKey] {
			p.met[m.Name] = at
		} else {
			p.met[m.Name], p.last = now, now
		}
	}
	p.mu.Unlock()
	for i := range members {
		if m := &members[i]; !m.Self && m.Tags[tagKey] != "" {
			n.meetKey(m)
		}
	}
}

func (n *Node) meetKey(m *gossip.Member) {
	key, err := seal.ParseTag(m.Tags[tagKey])
	if err == nil {
		err = n.book.Meet(m.Name, hexTag(*m, tagDir), key)
	}
	if err != nil {
		n.refuse(m.Name, err)
	}
}

// member is what the pool knows of a node now: the loop may not have heard of it yet.
func (n *Node) member(name string) *gossip.Member {
	if !n.pooled.Load() { // messages come before the pool is there for the node to ask
		return nil
	}
	ms := n.pool.Members()
	i, ok := slices.BinarySearchFunc(ms, name, func(m gossip.Member, name string) int { return strings.Compare(m.Name, name) })
	if !ok || ms[i].Self {
		return nil
	}
	return &ms[i]
}

// signs reports whether a node signs what it says: it tells of a key, or has shown one.
func (n *Node) signs(name string) bool {
	if n.book.Signs(name) {
		return true
	}
	m := n.member(name)
	return m != nil && m.Tags[tagKey] != ""
}

// checked has f check something by the key of a node, once more if the key had to be looked up first.
func (n *Node) checked(of string, f func() error) error {
	err := f()
	if r := (*seal.Refusal)(nil); errors.As(err, &r) && r.Reason == seal.UnknownKey {
		if m := n.member(of); m != nil && m.Tags[tagKey] != "" {
			n.meetKey(m)
			return f()
		}
	}
	return err
}

// mixed reports whether some member that lives is of a version without signatures.
func (p *peers) mixed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unkeyed
}

// tells reports whether a member tells this key of itself, so that nobody else need. One that has failed tells nobody: who joins later is not told of it by the
// pool, and took no row of it (unknown_key) until it was back.
func (p *peers) tells(name string, key ed25519.PublicKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lives[name] && p.keys[name] == seal.Tag(key)
}

// changed reports whether somebody may not have heard of this node's tags yet.
func (p *peers) changed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.last) < introduceFor*time.Millisecond
}

// introduces reports whether this node's key should go with what it says to a peer.
func (n *Node) introduces(to string) bool {
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	at, known := n.peers.met[to]
	return !known || time.Since(at) < introduceFor*time.Millisecond
}
