package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
)

// pruned is what stays of the segments that were deleted: the edge of the tree before the first record that is kept, and the
// signed checkpoint of that size. With it all that is kept is proved to follow what was deleted.
type pruned struct {
	About      string      `json:"about"`
	Size       int64       `json:"records_deleted"`
	Edge       []tlog.Hash `json:"edge"`
	Checkpoint string      `json:"checkpoint"`
}

const aboutPruned = "what an audit log keeps of its deleted segments: the edge of the tree, and the checkpoint of that size"

func (p *pruned) encode() []byte {
	b, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	return append(b, '\n')
}

func (p *pruned) edge() edge { return edge{p.Size, append([]tlog.Hash(nil), p.Edge...)} }

var errPrunedDamaged = errors.New("what is kept of deleted segments is damaged")

// readPruned returns nil if nothing was deleted.
func readPruned(dir string) (*pruned, error) {
	path := filepath.Join(dir, prunedName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var p pruned
	if err := json.Unmarshal(b, &p); err != nil || !bytes.Equal(p.encode(), b) || p.About != aboutPruned {
		return nil, fmt.Errorf("%w: %s", errPrunedDamaged, path)
	}
	if e := p.edge(); p.Size <= 0 || p.Size > maxSize || !e.whole() {
		return nil, fmt.Errorf("%w: %s: %d hashes for %d records", errPrunedDamaged, path, len(p.Edge), p.Size)
	}
	return &p, nil
}

// replaceFile replaces a small file durably: afterwards it has the old content or the new, whatever happens.
func replaceFile(dir, name string, b []byte) error {
	path := filepath.Join(dir, name)
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(dir)
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

const (
	dirMode  = 0o700
	fileMode = 0o600
)
