package store

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/rs/zerolog"
)

// Bounds of what the store takes. Open and Commit refuse what is larger with ErrTooLarge.
const (
	MaxKeyLen      = 2048      // bytes in a key; at least 1
	MaxValueLen    = 8 << 20   // bytes in a value
	MaxCommitLen   = 128 << 20 // bytes of all keys and values of one Commit
	MaxCommitCount = 1 << 20   // writes in one Commit
	MaxNameLen     = 128       // bytes in the name of a node or a cluster
)

// Schema is the version of the directory's layout that this package writes, and the newest it reads. Open brings an older
// one up to date; the versions that wrote it refuse it from then on.
//
//	1  accounts, meta, policy and seats
//	2  guards
const Schema = 2

// Bucket names one of the store's key spaces.
type Bucket uint8

const (
	Accounts Bucket = iota + 1 // the ledger's accounts, by instance
	Meta                       // what the node knows of itself and of peers: charter, versions seen
	Policy                     // policy documents and revisions, and what operators froze
	Seats                      // founders' seats, votes and decisions on them
	Guards                     // what guardians keep of their wards, what claims have decided, and this node's own guardians
)

const lastBucket = Guards

// buckets is how many of them a layout has, from the first on.
func buckets(schema int) Bucket {
	if schema < 2 {
		return Seats
	}
	return lastBucket
}

// internalBucket holds the store's own records.
const internalBucket = "store"

func (b Bucket) String() string {
	switch b {
	case Accounts:
		return "accounts"
	case Meta:
		return "meta"
	case Policy:
		return "policy"
	case Seats:
		return "seats"
	case Guards:
		return "guards"
	}
	return fmt.Sprintf("bucket(%d)", uint8(b))
}

func (b Bucket) valid() bool { return b >= Accounts && b <= lastBucket }

// bucketByName is the inverse of Bucket.String; 0 for an unknown name.
func bucketByName(name string) Bucket {
	for b := Accounts; b <= lastBucket; b++ {
		if b.String() == name {
			return b
		}
	}
	return 0
}

// Write is one change: Value goes under Key, or Key is deleted when Value is nil. An empty Value that
// is not nil is kept as an empty value.
type Write struct {
	Bucket Bucket
	Key    string
	Value  []byte
}

// Identity says whose directory this is.
type Identity struct {
	Node      string
	Cluster   string
	Directory [16]byte // random, made with the directory
	// Gen is the generation with which the directory began: Unix milliseconds at creation times 2^16 plus 16 random bits. It grows
	// with every new directory of a node, and two directories made apart do not get the same. Generations that follow each
	// other in it are the caller's records.
	Gen     uint64
	Created time.Time // UTC, whole milliseconds
	Schema  int
}

// DirectoryID is Directory in hexadecimal.
func (i Identity) DirectoryID() string { return hex.EncodeToString(i.Directory[:]) }

// Observer is told of every Commit that reached the disk or failed to: the time it took, how many
// writes and bytes of keys and values it carried, and its error. Called from Commit's goroutine, so it
// must not block and must not call the store.
type Observer interface {
	Committed(took time.Duration, writes, bytes int, err error)
}

// Options says how to open a store. Dir, Node and Cluster are the node's flags; all else has a default.
type Options struct {
	// Dir is the data directory. It is made with mode 0700 if it does not exist. "" keeps everything
	// in memory: nothing survives, every Open is a new generation, and IsDurable reports false.
	Dir string

	Node    string // the node's name, 1 to MaxNameLen bytes
	Cluster string // the cluster's name, at most MaxNameLen bytes

	Logger   zerolog.Logger   // warnings about repaired side files and loose permissions
	Observer Observer         // nil for none
	Rand     io.Reader        // for Directory and Gen; nil is crypto/rand
	Now      func() time.Time // for Gen and Created; nil is time.Now

	// LockWait is how long Open waits for another process to let go of the directory; 0 is 1 s,
	// negative is not at all.
	LockWait time.Duration
}

func (o *Options) validate() error {
	switch {
	case o.Node == "":
		return fmt.Errorf("store: the node has no name")
	case len(o.Node) > MaxNameLen:
		return fmt.Errorf("store: the node's name has %d bytes, at most %d are allowed", len(o.Node), MaxNameLen)
	case len(o.Cluster) > MaxNameLen:
		return fmt.Errorf("store: the cluster's name has %d bytes, at most %d are allowed", len(o.Cluster), MaxNameLen)
	}
	if err := validName("node", o.Node); err != nil {
		return err
	}
	if err := validName("cluster", o.Cluster); err != nil {
		return err
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case o.LockWait == 0:
		o.LockWait = time.Second
	case o.LockWait < 0:
		o.LockWait = 0
	}
	return nil
}

// newIdentity draws the identity of a new directory.
func newIdentity(o *Options) (Identity, error) {
	id := Identity{Node: o.Node, Cluster: o.Cluster, Schema: Schema, Created: o.Now().UTC().Truncate(time.Millisecond)}
	var low [2]byte
	if _, err := io.ReadFull(o.Rand, id.Directory[:]); err != nil {
		return Identity{}, fmt.Errorf("store: no random bytes for the identity: %w", err)
	}
	if _, err := io.ReadFull(o.Rand, low[:]); err != nil {
		return Identity{}, fmt.Errorf("store: no random bytes for the generation: %w", err)
	}
	ms := id.Created.UnixMilli()
	if ms < 0 || ms >= 1<<47 {
		return Identity{}, fmt.Errorf("store: the clock says %s: set it, a new generation is numbered by it", id.Created.Format(time.RFC3339))
	}
	id.Gen = uint64(ms)<<16 | uint64(low[0])<<8 | uint64(low[1])
	return id, nil
}
