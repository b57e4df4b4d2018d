package store

import (
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"
)

// Store keeps bytes under keys. Safe for concurrent use; commits happen one after the other.
type Store struct {
	o Options

	// mu guards all below. Commit holds it for writing, reads for reading.
	mu     sync.RWMutex
	id     Identity
	closed bool
	mem    *memory // nil if the store is durable
	disk   *disk   // nil if the store is in memory
}

type record struct {
	key   string
	value []byte
}

// Open opens the directory, checks every byte that it holds, and returns the store. Every error that is
// about the directory is an *Error, has a Hint, and leaves the directory as it was, but for its lock file. What it has read is
// on the disk when it returns. It may take up to LockWait plus the time to read the file once and for a sync.
func Open(o Options) (*Store, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Store{o: o}
	if o.Dir == "" {
		id, err := newIdentity(&o)
		if err != nil {
			return nil, err
		}
		s.id, s.mem = id, new(memory)
		return s, nil
	}
	d, id, err := openDisk(&o)
	if err != nil {
		return nil, err
	}
	s.id, s.disk = id, d
	return s, nil
}

// Identity says whose directory this is and in which generation.
func (s *Store) Identity() Identity {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.id
}

// IsDurable reports whether what is committed survives the process.
func (s *Store) IsDurable() bool { return s.disk != nil }

// Commit makes all writes or none, in the order given, and returns nil once they are durable: one
// transaction, which costs two fsyncs inside bbolt. After an error nothing was written and the store goes on, as when the disk
// is full; but if the error is an ErrFailed, the disk did not say whether the writes are there, or the file was taken away.
// The store then takes no more writes, and the node must stop: after a restart they are there or they are not.
func (s *Store) Commit(ws []Write) error {
	n, err := checkWrites(ws)
	if err != nil || len(ws) == 0 {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	start := time.Now()
	if s.disk != nil {
		err = s.disk.commit(ws)
	} else {
		s.mem.commit(ws)
	}
	if s.o.Observer != nil {
		s.o.Observer.Committed(time.Since(start), len(ws), n, err)
	}
	return err
}

// checkWrites holds a commit against the bounds and returns its bytes.
func checkWrites(ws []Write) (int, error) {
	if len(ws) > MaxCommitCount {
		return 0, fmt.Errorf("store: %w: %d writes in one commit, at most %d are allowed", ErrTooLarge, len(ws), MaxCommitCount)
	}
	n := 0
	for _, w := range ws {
		if !w.Bucket.valid() {
			return 0, fmt.Errorf("store: no such bucket: %d", w.Bucket)
		}
		if len(w.Key) == 0 {
			return 0, fmt.Errorf("store: a write to %s without a key", w.Bucket)
		}
		if len(w.Key) > MaxKeyLen {
			return 0, fmt.Errorf("store: %w: the key %s/%.40q has %d bytes, at most %d are allowed", ErrTooLarge, w.Bucket, w.Key, len(w.Key), MaxKeyLen)
		}
		if len(w.Value) > MaxValueLen {
			return 0, fmt.Errorf("store: %w: the value of %s/%.40q has %d bytes, at most %d are allowed", ErrTooLarge, w.Bucket, w.Key, len(w.Value), MaxValueLen)
		}
		n += len(w.Key) + len(w.Value)
	}
	if n > MaxCommitLen {
		return 0, fmt.Errorf("store: %w: a commit of %d bytes, at most %d are allowed", ErrTooLarge, n, MaxCommitLen)
	}
	return n, nil
}

// Get returns the value under key, which the caller owns, or nil if there is none. An empty value is
// empty and not nil.
func (s *Store) Get(b Bucket, key string) ([]byte, error) {
	if !b.valid() {
		return nil, fmt.Errorf("store: no such bucket: %d", b)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.closed:
		return nil, ErrClosed
	case s.mem != nil:
		return s.mem.get(b, key), nil
	}
	return s.disk.get(b, key)
}

// Each calls fn for every key of a bucket as it stood at the call, in byte order. fn owns the value, and
// may call the store. An error of fn ends the walk and is returned.
func (s *Store) Each(b Bucket, fn func(key string, value []byte) error) error {
	if !b.valid() {
		return fmt.Errorf("store: no such bucket: %d", b)
	}
	rs, err := s.all(b)
	if err != nil {
		return err
	}
	for _, r := range rs {
		if err := fn(r.key, r.value); err != nil {
			return err
		}
	}
	return nil
}

// all copies a bucket, so that fn runs without a lock or an open transaction: bbolt deadlocks when one goroutine
// reads and writes at once.
func (s *Store) all(b Bucket) ([]record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.closed:
		return nil, ErrClosed
	case s.mem != nil:
		return s.mem.all(b), nil
	}
	return s.disk.all(b)
}

// Close waits for calls that are under way and lets go of the directory. Further calls of Commit, Get and
// Each give ErrClosed; closing twice is harmless.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.disk != nil {
		return s.disk.close()
	}
	s.mem = new(memory)
	return nil
}

func validName(what, name string) error {
	if !utf8.ValidString(name) {
		return errors.New("store: the name of the " + what + " is not UTF-8")
	}
	return nil
}
