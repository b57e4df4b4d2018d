package seal

import (
	"crypto/ed25519"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	maxConvicted = 256
	maxChecked   = 8192 // batches of rows whose signatures were checked
	maxWatched   = 8192 // holders whose last rows are kept to compare
	// checksPerSecond is how many signatures in the name of one node are checked in a second, with a burst of twice that. It is above what
	// one address may send (see package gossip), so that one that speaks in another's name does not shut that other up.
	checksPerSecond = 4000
)

// Book is what a node knows of keys, and what it has read.
type Book struct {
	self string

	mu        sync.Mutex // guards all below
	pins      map[string][]*Pin
	convicted map[[32]byte]*Proof
	buckets   *lru.Cache[string, *bucket]
	checked   *lru.Cache[[32]byte, struct{}]
	watched   *lru.Cache[holder, *recent]
}

// NewBook is the book of a node.
func NewBook(self string) *Book {
	return &Book{
		self: self, pins: map[string][]*Pin{}, convicted: map[[32]byte]*Proof{},
		buckets: cache[string, *bucket](maxChecked), checked: cache[[32]byte, struct{}](maxChecked), watched: cache[holder, *recent](maxWatched),
	}
}

func cache[K comparable, V any](n int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](n)
	if err != nil {
		panic("BUG: " + err.Error()) // only for a size below one
	}
	return c
}

// bucket is tokens that come back with time; now is in ms.
type bucket struct {
	left float64
	at   int64
}

func (k *bucket) take(now int64, perSecond float64) bool {
	k.left = min(2*perSecond, k.left+perSecond*float64(max(0, now-k.at))/1000)
	k.at = now
	if k.left < 1 {
		return false
	}
	k.left--
	return true
}

// mayCheck must be called under mu.
func (b *Book) mayCheck(now int64, name string) error {
	k, ok := b.buckets.Get(name)
	if !ok {
		k = &bucket{2 * checksPerSecond, now}
		b.buckets.Add(name, k)
	}
	if !k.take(now, checksPerSecond) {
		return refuse(Flood, "more than %d signatures a second in the name of %s", checksPerSecond, name)
	}
	return nil
}

func verify(key ed25519.PublicKey, said, sig []byte) bool { return ed25519.Verify(key, said, sig) }
