package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Files of a data directory.
const (
	lockName   = "swarmpurse.lock" // locked while a node runs; holds its pid
	dbName     = "swarmpurse.db"   // bbolt; made as newDBName and renamed, so it is whole from the start
	newDBName  = "swarmpurse.db.new"
	markerName = "swarmpurse.id"  // JSON: whose directory this is, so that a lost database is noticed
	seqName    = "swarmpurse.seq" // the last transaction that was reported durable, see counter

	dirMode  = 0o700
	fileMode = 0o600
)

// directory is a locked data directory.
type directory struct {
	path string
	lock *os.File
	log  zerolog.Logger
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

// openDir makes the directory if need be, and locks it.
func openDir(o *Options) (*directory, error) {
	unusable := func(what string, err error) error {
		return &Error{ErrUnusable, o.Dir, what,
			"give --data a directory that the node's user owns and may write, on a disk that is mounted for writing", err}
	}
	above := filepath.Dir(filepath.Clean(o.Dir))
	info, err := os.Stat(o.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Only the last step of the path is made: where more is missing, a disk is not mounted or the path is wrong, and a
		// directory that is made there has nothing of what the node held.
		if _, err := os.Stat(above); errors.Is(err, fs.ErrNotExist) {
			return nil, &Error{ErrUnusable, o.Dir, "the directory above it does not exist",
				"mount the disk that it is on, correct --data, or make the directory above it with mkdir -p " + above, nil}
		}
		if err := os.Mkdir(o.Dir, dirMode); err != nil {
			return nil, unusable("cannot make the data directory", bare(err))
		}
	case err != nil:
		return nil, unusable("cannot look at the data directory", bare(err))
	case !info.IsDir():
		return nil, unusable("is not a directory", nil)
	case info.Mode().Perm()&0o077 != 0:
		o.Logger.Warn().Str("dir", o.Dir).Stringer("mode", info.Mode().Perm()).
			Msg("other users may look into the data directory: chmod 700 it")
	}
	d := &directory{path: o.Dir, log: o.Logger}
	f, err := os.OpenFile(d.file(lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, unusable("cannot write in the data directory", bare(err))
	}
	for deadline := time.Now().Add(o.LockWait); ; time.Sleep(20 * time.Millisecond) {
		ok, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, unusable("cannot lock the data directory", err)
		}
		if ok {
			break
		}
		if !time.Now().Before(deadline) {
			defer f.Close()
			return nil, &Error{ErrLocked, o.Dir, "another swarmpurse node uses this directory (" + holderPID(f) + ")",
				"stop that node, or give this one its own --data directory", nil}
		}
	}
	// The pid is for people; the lock itself is the kernel's and dies with the process.
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			d.log.Warn().Err(err).Str("dir", o.Dir).Msg("cannot write the pid into the lock file")
		}
	}
	d.lock = f
	return d, nil
}

func holderPID(f *os.File) string {
	var b [20]byte
	n, _ := f.ReadAt(b[:], 0)
	pid := strings.TrimSpace(string(b[:n]))
	if _, err := strconv.Atoi(pid); err != nil {
		return "its pid is not known: see who has " + f.Name() + " open"
	}
	return "pid " + pid
}

// close lets go of the directory. The lock file stays: removing it would let two nodes lock two files
// of one name.
func (d *directory) close() error { return d.lock.Close() }

// exists reports whether a file of the directory is there.
func (d *directory) exists(name string) (bool, error) {
	_, err := os.Lstat(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &Error{ErrUnusable, d.file(name), "cannot look at it", "see the permissions of the data directory", bare(err)}
	}
	return true, nil
}

// strangers lists, by name, what the directory holds that neither a start of a node which was cut short, nor a file
// system or a volume leaves there.
func (d *directory) strangers() (names []string, err error) {
	entries, err := os.ReadDir(d.path)
	for _, e := range entries { // sorted
		name := e.Name()
		ours := name == lockName || name == newDBName
		// A socket is a door of the node's that was opened before its directory.
		if !ours && name != "lost+found" && name[0] != '.' && e.Type()&fs.ModeSocket == 0 {
			names = append(names, name)
		}
	}
	return names, err
}

// writeFile replaces a file durably: afterwards it has the old content or the new, whatever happens.
func (d *directory) writeFile(name string, b []byte) error {
	tmp := d.file(name + ".new")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, d.file(name))
	}
	if err == nil {
		err = syncDir(d.path)
	}
	return err
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// bare takes the path off an error that is shown with the path before it.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// marker is the content of the marker file.
type marker struct {
	About    string          `json:"about"`
	Identity json.RawMessage `json:"identity"`
	Check    uint32          `json:"check"` // CRC32C of Identity
}

const aboutMarker = "data directory of one swarmpurse node: keep its files together, never copy it to a second node"

func encodeMarker(id Identity) []byte {
	id.Gen = 0 // the database has it
	raw := json.RawMessage(id.encode())
	b, err := json.Marshal(marker{aboutMarker, raw, crc32.Checksum(raw, castagnoli)})
	if err != nil {
		panic("BUG: marker does not encode: " + err.Error())
	}
	return append(b, '\n')
}

func decodeMarker(b []byte) (Identity, error) {
	var m marker
	if err := json.Unmarshal(b, &m); err != nil {
		return Identity{}, err
	}
	if crc32.Checksum(m.Identity, castagnoli) != m.Check {
		return Identity{}, errors.New("its checksum is wrong")
	}
	return decodeIdentity(m.Identity)
}

// readSmall reads a side file of at most 4 KiB; nil if it does not exist.
func (d *directory) readSmall(name string) ([]byte, error) {
	f, err := os.Open(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// What cannot be read is no damage that may be mended by writing it anew.
	b, err := io.ReadAll(io.LimitReader(f, 4097))
	if err == nil && len(b) > 4096 {
		err = errors.New("it has more than 4096 bytes")
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// counter is the file that remembers the last transaction that Commit reported. It is overwritten in
// place after every commit, without a sync of its own, so it is never ahead of the database. A database
// that is behind it has lost a commit: its newest meta page was damaged, so bbolt would fall back to the
// one before, or the file was replaced by an older copy.
type counter struct {
	f   *os.File
	dir [16]byte
}

const (
	counterMagic = "SPSQ"
	counterLen   = 4 + 16 + 8 + 4
)

func encodeCounter(dir [16]byte, tx uint64) []byte {
	b := append(make([]byte, 0, counterLen), counterMagic...)
	b = append(b, dir[:]...)
	b = binary.BigEndian.AppendUint64(b, tx)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeCounter(b []byte) (dir [16]byte, tx uint64, err error) {
	if len(b) != counterLen || !bytes.HasPrefix(b, []byte(counterMagic)) ||
		crc32.Checksum(b[:counterLen-4], castagnoli) != binary.BigEndian.Uint32(b[counterLen-4:]) {
		return dir, 0, fmt.Errorf("malformed (%d bytes)", len(b))
	}
	return [16]byte(b[4:20]), binary.BigEndian.Uint64(b[20:]), nil
}

func (c *counter) set(tx uint64) error {
	_, err := c.f.WriteAt(encodeCounter(c.dir, tx), 0)
	return err
}
