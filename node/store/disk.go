package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// disk is the engine of a store with a directory. Its fields are guarded by Store.mu.
type disk struct {
	dir    *directory
	db     *bbolt.DB
	file   *os.File // bbolt's
	info   os.FileInfo
	seq    counter
	st     state // as committed last
	failed error // set once: the file may not be what we think it is
	behind bool  // the counter could not be written, and we said so
}

// openDisk opens or makes the database of a directory.
func openDisk(o *Options) (*disk, Identity, error) {
	dir, err := openDir(o)
	if err != nil {
		return nil, Identity{}, err
	}
	d := &disk{dir: dir}
	id, err := d.open(o)
	if err != nil {
		d.release()
		return nil, Identity{}, err
	}
	return d, id, nil
}

func (d *disk) open(o *Options) (Identity, error) {
	have, err := d.dir.exists(dbName)
	if err != nil {
		return Identity{}, err
	}
	raw, err := d.dir.readSmall(markerName)
	if err != nil {
		return Identity{}, d.unreadable(markerName, err)
	}
	mark, markErr := Identity{}, errors.New("missing")
	if raw != nil {
		mark, markErr = decodeMarker(raw)
	}
	if markErr == nil {
		// The marker goes first, since it tells a newer layout from a damaged one, and a lost database from
		// an empty directory.
		if err := d.fits(mark, o); err != nil {
			return Identity{}, err
		}
	}
	if !have {
		hasSeq, err := d.dir.exists(seqName)
		if err != nil {
			return Identity{}, err
		}
		if raw != nil || hasSeq {
			return Identity{}, d.gone(mark, markErr)
		}
		if err := d.unused(); err != nil {
			return Identity{}, err
		}
		if err := d.create(o); err != nil {
			return Identity{}, &Error{ErrUnusable, d.dir.path, "cannot make the database",
				"see the disk's free space and the permissions of the data directory", bare(err)}
		}
	}
	id, torn, err := d.check()
	if err != nil {
		return Identity{}, err
	}
	if err := d.fits(id, o); err != nil {
		return Identity{}, err
	}
	if markErr == nil && mark.Directory != id.Directory {
		return Identity{}, &Error{ErrForeign, d.dir.file(dbName), fmt.Sprintf("this database belongs to the directory %s, and its marker %s to %s",
			id.DirectoryID(), markerName, mark.DirectoryID()), "put the directory's own database back; files of two directories cannot be mixed", nil}
	}
	said, err := d.compareCounter(id, torn)
	if err != nil {
		return Identity{}, err
	}
	if err := d.settle(); err != nil {
		return Identity{}, &Error{ErrUnusable, d.dir.file(dbName), "cannot write it, so nobody knows whether its last commit would survive a power cut",
			"see the free space and the health of the disk, and start again", bare(err)}
	}
	if err := d.openCounter(id, said); err != nil {
		return Identity{}, err
	}
	if err := d.openBolt(); err != nil {
		return Identity{}, err
	}
	if id.Schema < Schema {
		if id, err = d.upgrade(id); err != nil {
			return Identity{}, err
		}
	}
	if markErr != nil || mark.Schema != id.Schema {
		if raw != nil && markErr != nil {
			d.dir.log.Warn().Err(markErr).Str("file", d.dir.file(markerName)).Msg("the marker of the data directory was damaged and is written anew")
		}
		if err := d.dir.writeFile(markerName, encodeMarker(id)); err != nil {
			return Identity{}, d.unreadable(markerName, err)
		}
	}
	return id, nil
}

func (d *disk) unreadable(name string, err error) error {
	return &Error{ErrUnusable, d.dir.file(name), "cannot read or write it", "see the permissions of the data directory and the disk", bare(err)}
}

func (d *disk) gone(mark Identity, markErr error) error {
	who := "a node"
	if markErr == nil {
		who = "node " + mark.Node
	}
	return &Error{ErrGone, d.dir.file(dbName), fmt.Sprintf("the directory was used by %s but its database is gone", who),
		fmt.Sprintf("put %s back; to start as a new generation without the old one's rights, move %s away", dbName, d.dir.path), nil}
}

// unused refuses a directory that is not empty and has no database: a node's whose own files were lost, or one that
// was never meant for a node.
func (d *disk) unused() error {
	names, err := d.dir.strangers()
	if err != nil {
		return &Error{ErrUnusable, d.dir.path, "cannot list it", "see the permissions of the data directory", bare(err)}
	}
	if len(names) == 0 {
		return nil
	}
	what := strings.Join(names, ", ")
	if len(names) > 3 {
		what = fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return &Error{ErrGone, d.dir.path, fmt.Sprintf("it holds %s and no database", what),
		fmt.Sprintf("if a node used it, put %s back, or move %s away to start as a new generation without the old one's rights; if not, give --data an empty directory", dbName, d.dir.path), nil}
}

// fits refuses an identity that is not the one that was asked for.
func (d *disk) fits(id Identity, o *Options) error {
	switch {
	case id.Schema > Schema:
		return &Error{ErrNewer, d.dir.path, fmt.Sprintf("the directory has layout %d, this swarmpurse reads up to %d", id.Schema, Schema),
			"run the newer swarmpurse that wrote it", nil}
	case id.Node != o.Node:
		return &Error{ErrForeign, d.dir.path, fmt.Sprintf("the directory belongs to node %q, this node is %q", id.Node, o.Node),
			fmt.Sprintf("start with --name %s, or give --data a directory of this node's own", id.Node), nil}
	case id.Cluster != o.Cluster:
		return &Error{ErrForeign, d.dir.path, fmt.Sprintf("the directory belongs to cluster %q, this node is in %q", id.Cluster, o.Cluster),
			fmt.Sprintf("start with --cluster %s, or give --data a directory of its own", id.Cluster), nil}
	}
	return nil
}

func (d *disk) corrupt(err error) error {
	return &Error{ErrCorrupt, d.dir.file(dbName), "the database is damaged", startOver(d.dir.path), err}
}

// check reads the whole database with plain reads, and returns what it found once every byte is accounted
// for. torn says why one of the two meta pages is not valid, if so.
func (d *disk) check() (id Identity, torn error, err error) {
	f, err := os.Open(d.dir.file(dbName))
	if err != nil {
		return id, nil, d.unreadable(dbName, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return id, nil, d.unreadable(dbName, err)
	}
	if !info.Mode().IsRegular() {
		return id, nil, d.corrupt(errors.New("it is not a regular file"))
	}
	if info.Size() == 0 {
		return id, nil, d.corrupt(errors.New("it has 0 bytes, so all that it held is lost"))
	}
	id, d.st, torn, err = checkFile(f, info.Size())
	if errors.Is(err, ErrNewer) {
		return id, torn, d.fits(id, &Options{})
	}
	if err != nil {
		return id, torn, d.corrupt(err)
	}
	return id, torn, nil
}

// compareCounter holds the database against the counter of commits. said is why the counter cannot be read, if so.
func (d *disk) compareCounter(id Identity, torn error) (said, err error) {
	raw, err := d.dir.readSmall(seqName)
	if err != nil {
		return nil, d.unreadable(seqName, err)
	}
	said = errors.New("missing")
	if raw != nil {
		var owner [16]byte
		var tx uint64
		if owner, tx, said = decodeCounter(raw); said == nil {
			if owner != id.Directory {
				return nil, &Error{ErrForeign, d.dir.file(seqName), "this file is from another data directory",
					"put the directory's own files back; files of two directories cannot be mixed", nil}
			}
			if tx > d.st.Tx {
				what := fmt.Errorf("it ends at transaction %d, but %d was reported durable: it is an older copy, or its end was lost", d.st.Tx, tx)
				if torn != nil {
					what = fmt.Errorf("%w (%w)", what, torn)
				}
				return nil, d.corrupt(what)
			}
		}
	}
	switch {
	case said != nil && torn != nil:
		// Nobody can say whether the transaction of the bad meta page was reported.
		return nil, d.corrupt(fmt.Errorf("%w, and %s is %w", torn, seqName, said))
	case said != nil && (raw != nil || d.st.Tx > firstTx):
		d.dir.log.Warn().Err(said).Str("file", d.dir.file(seqName)).Msg("the counter of commits was damaged and is written anew")
	case torn != nil:
		d.dir.log.Warn().Err(torn).Str("file", d.dir.file(dbName)).Msg("a commit that was cut short by a crash, or never reported, is dropped")
	}
	return said, nil
}

// settle makes sure that what was read is on the disk. The kernel shows a meta page whose sync failed, or that a killed
// process had no time to sync, as if it were there, and takes it for clean; the node would act upon a commit that a power cut
// takes back. So the page is written once more, as it is, and synced. All other pages were synced before it was written.
func (d *disk) settle() error {
	f, err := os.OpenFile(d.dir.file(dbName), os.O_RDWR, fileMode)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m, _, err := newest(f, info.Size())
	if err != nil {
		return err
	}
	page := make([]byte, m.pageSize)
	at := int64(m.tx%2) * int64(m.pageSize)
	if _, err := f.ReadAt(page, at); err != nil {
		return err
	}
	if _, err := f.WriteAt(page, at); err != nil {
		return err
	}
	return f.Sync()
}

// openCounter opens the counter for writing; said is why it cannot be read, if so.
func (d *disk) openCounter(id Identity, said error) error {
	if said != nil {
		if err := d.dir.writeFile(seqName, encodeCounter(id.Directory, d.st.Tx)); err != nil {
			return d.unreadable(seqName, err)
		}
	}
	f, err := os.OpenFile(d.dir.file(seqName), os.O_WRONLY, fileMode)
	if err != nil {
		return d.unreadable(seqName, err)
	}
	d.seq = counter{f, id.Directory}
	if err := d.seq.set(d.st.Tx); err != nil {
		return d.unreadable(seqName, err)
	}
	return nil
}

// boltOptions are bbolt's defaults but for the lock's wait and the kind of the in-memory free list. The
// list itself stays on disk: without it bbolt rebuilds it in a goroutine that panics on damage.
func boltOptions(f **os.File) *bbolt.Options {
	return &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType, OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
		var err error
		*f, err = os.OpenFile(name, flag, mode)
		return *f, err
	}}
}

func (d *disk) openBolt() error {
	err := guarded(func() (err error) {
		if d.db, err = bbolt.Open(d.dir.file(dbName), fileMode, boltOptions(&d.file)); err == nil {
			d.info, err = d.file.Stat()
		}
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return &Error{ErrLocked, d.dir.file(dbName), "another program has the database open", "end it: a bbolt tool, a backup, or an older swarmpurse", nil}
	case errors.As(err, new(syscall.Errno)):
		return &Error{ErrUnusable, d.dir.file(dbName), "cannot open it", "see the permissions of the data directory, the disk, and the free memory", bare(err)}
	case err != nil:
		return d.corrupt(err)
	}
	return nil
}

// upgrade brings the layout of an older version up to date, in one transaction. That version refuses the directory from
// then on, since it would lose what it knows nothing of: promises to claims, and what guardians hold.
func (d *disk) upgrade(id Identity) (Identity, error) {
	from := id.Schema
	id.Schema = Schema
	next := d.st
	err := guarded(func() error {
		return d.db.Update(func(tx *bbolt.Tx) error {
			for b := buckets(from) + 1; b <= lastBucket; b++ {
				if _, err := tx.CreateBucket([]byte(b.String())); err != nil {
					return err
				}
			}
			return apply(tx, &next, nil, &id)
		})
	})
	if err != nil {
		return id, d.commitFailed(err)
	}
	d.st = next
	if err := d.seq.set(next.Tx); err != nil {
		return id, d.unreadable(seqName, err)
	}
	d.dir.log.Info().Str("dir", d.dir.path).Int("from", from).Int("to", Schema).
		Msg("the data directory has the layout of this version now: older versions cannot use it any more")
	return id, nil
}

// firstTx is the bbolt transaction that makes the buckets; bbolt's own first pages are transactions 0 and 1.
const firstTx = 2

// create makes the database under another name and renames it when it is whole and durable, so that a
// crash on the way leaves a directory that still counts as unused.
func (d *disk) create(o *Options) error {
	id, err := newIdentity(o)
	if err != nil {
		return err
	}
	tmp := d.dir.file(newDBName)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	err = guarded(func() error {
		var f *os.File
		db, err := bbolt.Open(tmp, fileMode, boltOptions(&f))
		if err != nil {
			return err
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			for b := Accounts; b <= lastBucket; b++ {
				if _, err := tx.CreateBucket([]byte(b.String())); err != nil {
					return err
				}
			}
			own, err := tx.CreateBucket([]byte(internalBucket))
			if err != nil {
				return err
			}
			st := state{Tx: uint64(tx.ID())}
			if err := putOwn(own, stateKey, st.encode()); err != nil {
				return err
			}
			return putOwn(own, identityKey, id.encode())
		})
		if cerr := db.Close(); err == nil {
			err = cerr
		}
		return err
	})
	if err == nil {
		err = os.Rename(tmp, d.dir.file(dbName))
	}
	if err == nil {
		err = syncDir(d.dir.path)
	}
	if err == nil {
		// The directory itself may be new, too, made by this start or one before. One who may not look into the directory
		// above has not made it.
		if err = syncDir(filepath.Dir(filepath.Clean(d.dir.path))); errors.Is(err, os.ErrPermission) {
			err = nil
		}
	}
	if err == nil {
		// Said aloud, since a disk that was not mounted looks like this too.
		d.dir.log.Info().Str("dir", d.dir.path).Str("generation", fmt.Sprintf("%x", id.Gen)).
			Msg("a new data directory was made: this node is a new generation, and holds no rights of an earlier one")
	}
	return err
}

func putOwn(b *bbolt.Bucket, key string, value []byte) error {
	return b.Put([]byte(key), frame(internalBucket, key, value))
}

// commit runs one transaction.
func (d *disk) commit(ws []Write) error {
	if d.failed != nil {
		return d.hasFailed()
	}
	next := d.st
	err := guarded(func() error { return d.db.Update(func(tx *bbolt.Tx) error { return apply(tx, &next, ws, nil) }) })
	if err != nil {
		return d.commitFailed(err)
	}
	d.st = next
	if d.taken() {
		d.failed = errTaken
		return d.hasFailed()
	}
	if err := d.seq.set(next.Tx); err != nil && !d.behind {
		// The commit is durable all the same; only a later loss of the newest meta page would go unnoticed.
		d.behind = true
		d.dir.log.Warn().Err(err).Msg("cannot write the counter of commits")
	}
	return nil
}

// errTaken says that the database's name no longer leads to the file that is written.
var errTaken = errors.New("it was taken away while the node ran")

// taken reports that a restart would not find the file that was just written: somebody has removed, moved or replaced
// it. The file itself lives on, unseen, until the process ends.
func (d *disk) taken() bool {
	now, err := os.Stat(d.dir.file(dbName))
	if err != nil {
		return errors.Is(err, os.ErrNotExist) // other errors show at the next start, which they end
	}
	return !os.SameFile(now, d.info)
}

// apply makes the writes in a transaction and moves st along with them. id, if not nil, becomes the identity.
func apply(tx *bbolt.Tx, st *state, ws []Write, id *Identity) error {
	st.Tx = uint64(tx.ID())
	for _, w := range ws {
		name := w.Bucket.String()
		b := tx.Bucket([]byte(name))
		if b == nil {
			return damaged{fmt.Errorf("bucket %s is missing", name)}
		}
		key := []byte(w.Key)
		if old := b.Get(key); old != nil {
			if _, err := unframe(name, w.Key, old); err != nil {
				return damaged{err}
			}
			st.Tallies[w.Bucket].remove(old)
		}
		if w.Value == nil {
			if err := b.Delete(key); err != nil {
				return err
			}
			continue
		}
		raw := frame(name, w.Key, w.Value)
		if err := b.Put(key, raw); err != nil {
			return err
		}
		st.Tallies[w.Bucket].add(raw)
	}
	own := tx.Bucket([]byte(internalBucket))
	if own == nil {
		return damaged{errors.New("the store's own bucket is missing")}
	}
	if id != nil {
		if err := putOwn(own, identityKey, id.encode()); err != nil {
			return err
		}
	}
	return putOwn(own, stateKey, st.encode())
}

// damaged marks an error that says that the file changed under us.
type damaged struct{ error }

func (d damaged) Unwrap() error { return d.error }

// commitFailed finds out what a failed transaction left behind. bbolt writes and syncs the pages, then the
// meta page, and syncs again. As long as the meta page is the old one nothing happened, and the next commit
// writes its pages afresh. If the meta page is the new one, only its sync failed, and whether it is on the
// disk nobody knows; a kernel reports such an error once, so trying again would prove nothing.
func (d *disk) commitFailed(cause error) error {
	var p *crash
	var dm damaged
	if errors.As(cause, &p) || errors.As(cause, &dm) {
		d.failed = cause
		return d.corrupt(fmt.Errorf("%w: %w", ErrFailed, cause))
	}
	var now uint64
	look := guarded(func() error { return d.db.View(func(tx *bbolt.Tx) error { now = uint64(tx.ID()); return nil }) })
	switch {
	case look != nil:
		d.failed = errors.Join(cause, look)
		return d.hasFailed()
	case now != d.st.Tx:
		d.failed = cause
		return d.hasFailed()
	}
	return &Error{ErrUnusable, d.dir.file(dbName), "cannot write, and nothing of this commit was kept",
		"see the free space and the health of the disk; the node goes on when it can write again", bare(cause)}
}

func (d *disk) hasFailed() error {
	if errors.Is(d.failed, errTaken) {
		return &Error{ErrFailed, d.dir.file(dbName), errTaken.Error(), "put the directory back as it was and start the node again; " +
			"see what removes files there, a node's data is not temporary", nil}
	}
	return &Error{ErrFailed, d.dir.file(dbName), "a write failed and its outcome is not known",
		"restart the node: it checks the database then; look at the disk first", bare(d.failed)}
}

func (d *disk) get(b Bucket, key string) (value []byte, err error) {
	err = d.view(b, func(bk *bbolt.Bucket) error {
		raw := bk.Get([]byte(key))
		if raw == nil {
			return nil
		}
		v, err := unframe(b.String(), key, raw)
		if err == nil {
			value = append([]byte{}, v...)
		}
		return err
	})
	return value, err
}

func (d *disk) all(b Bucket) (rs []record, err error) {
	var got tally
	err = d.view(b, func(bk *bbolt.Bucket) error {
		return bk.ForEach(func(k, raw []byte) error {
			key := string(k)
			v, err := unframe(b.String(), key, raw)
			if err == nil {
				got.add(raw)
				rs = append(rs, record{key, append([]byte{}, v...)})
			}
			return err
		})
	})
	// After a commit of unknown outcome the tally may be of either side of it.
	if err == nil && d.failed == nil && got != d.st.Tallies[b] {
		err = d.corrupt(fmt.Errorf("bucket %s holds %d records and should hold %d", b, got.Count, d.st.Tallies[b].Count))
	}
	if err != nil {
		return nil, err
	}
	return rs, nil
}

func (d *disk) view(b Bucket, fn func(*bbolt.Bucket) error) error {
	err := guarded(func() error {
		return d.db.View(func(tx *bbolt.Tx) error {
			bk := tx.Bucket([]byte(b.String()))
			if bk == nil {
				return fmt.Errorf("bucket %s is missing", b)
			}
			return fn(bk)
		})
	})
	if err != nil {
		return d.corrupt(err)
	}
	return nil
}

func (d *disk) close() error {
	err := d.release()
	if err != nil {
		return &Error{ErrUnusable, d.dir.path, "cannot close the data directory", "nothing is lost: all commits were durable when they were reported", bare(err)}
	}
	return nil
}

// release closes what is open, the lock last.
func (d *disk) release() error {
	var errs []error
	var p *crash
	switch {
	case errors.As(d.failed, &p):
		// A panic in the middle of a commit may have left bbolt's locks taken, so its Close could wait for
		// ever. Closing the file lets go of the lock on it, and the map ends with the process.
		errs = append(errs, d.file.Close())
	case d.db != nil:
		errs = append(errs, guarded(d.db.Close))
	case d.file != nil:
		d.file.Close() // bbolt's Open failed; mostly it has closed the file itself
	}
	if d.seq.f != nil {
		errs = append(errs, d.seq.f.Close())
	}
	errs = append(errs, d.dir.close())
	return errors.Join(errs...)
}

// crash is a panic inside bbolt, as an error.
type crash struct{ value any }

func (c *crash) Error() string { return fmt.Sprintf("bbolt cannot read its file: %v", c.value) }

// guarded runs fn and turns a panic into an error, also the one for touching a page that the file no longer
// has. bbolt answers damage that appears after Open with either.
func guarded(fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if v := recover(); v != nil {
			err = &crash{v}
		}
	}()
	return fn()
}

// checkFile checks a database from its first byte to its last, and returns what it says of itself.
func checkFile(f io.ReaderAt, size int64) (id Identity, st state, torn error, err error) {
	var got [lastBucket + 1]tally
	var hasID, hasState bool
	m, torn, err := verify(f, size, func(bucket string, key, raw []byte) error {
		v, err := unframe(bucket, string(key), raw)
		if err != nil {
			return err
		}
		if b := bucketByName(bucket); b != 0 {
			got[b].add(raw)
			return nil
		}
		switch {
		case bucket == internalBucket && string(key) == stateKey:
			hasState = true
			st, err = decodeState(v)
		case bucket == internalBucket && string(key) == identityKey:
			hasID = true
			if id, err = decodeIdentity(bytes.Clone(v)); err == nil && id.Schema > Schema {
				err = ErrNewer
			}
		default:
			err = fmt.Errorf("a record %.40q in a bucket %.40q that is not ours", key, bucket)
		}
		return err
	})
	switch {
	case err != nil:
		if newer := newerIdentity(f, size); newer.Schema > Schema {
			return newer, st, torn, ErrNewer
		}
		return id, st, torn, err
	case !hasID || !hasState:
		return id, st, torn, errors.New("it was not made by swarmpurse: it has no identity")
	case st.Tx != m.tx:
		return id, st, torn, fmt.Errorf("its records are of transaction %d and its meta page is of %d", st.Tx, m.tx)
	}
	for b := Accounts; b <= lastBucket; b++ {
		if got[b] != st.Tallies[b] {
			return id, st, torn, fmt.Errorf("bucket %s holds %d records that are not the %d written last", b, got[b].Count, st.Tallies[b].Count)
		}
	}
	return id, st, torn, nil
}

// newerIdentity looks for nothing but the identity: what else a newer layout holds, this version cannot judge.
// It returns the zero identity if there is none to be read.
func newerIdentity(f io.ReaderAt, size int64) (id Identity) {
	found := errors.New("found")
	_, _, _ = verify(f, size, func(bucket string, key, raw []byte) error {
		if bucket != internalBucket || string(key) != identityKey {
			return nil
		}
		if v, err := unframe(bucket, identityKey, raw); err == nil {
			id, _ = decodeIdentity(bytes.Clone(v))
		}
		return found
	})
	return id
}
