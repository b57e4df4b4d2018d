package gossip

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Where to rejoin is kept twice. Serf's snapshot has the Lamport clocks too, but it is written only
// when the next event comes half a second later: in a quiet pool a node that is killed finds it
// empty. So the addresses also stand in a file of ours beside it, replaced as a whole on every change.

const (
	maxKnown     = 256 // peers kept to rejoin
	maxKnownFile = 1 << 20
)

type known struct {
	Name string `json:"name"`
	Addr string `json:"addr"`
}

func knownFile(snapshot string) string { return snapshot + ".peers" }

// remember keeps the file while the pool runs. A node that sees nobody keeps the last list: it may
// be the one that is cut off.
func (p *Pool) remember() {
	if p.opts.SnapshotPath == "" {
		return
	}
	for {
		select {
		case <-p.moved:
		case <-p.done:
			return
		}
		var list []known
		for _, m := range p.Members() {
			if m.Status == Alive && !m.Self && len(list) < maxKnown {
				list = append(list, known{m.Name, m.Addr})
			}
		}
		if len(list) == 0 {
			continue
		}
		if err := writeKnown(knownFile(p.opts.SnapshotPath), list); err != nil {
			p.log.Error().Err(err).Msg("cannot keep the list of peers; after a restart this node needs its seeds")
		}
	}
}

func writeKnown(path string, list []known) error {
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // no longer there if all went well
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync() // or a power cut could leave the new name with no content
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	return err
}

// knownPeers answers where peers were last seen alive, from both files. What cannot be read as an
// address is passed over: the files only save the search for seeds.
func knownPeers(snapshot, self string) ([]string, error) {
	if snapshot == "" {
		return nil, nil
	}
	at := make(map[string]string)
	for _, f := range []struct {
		path string
		read func(io.Reader, map[string]string) error
	}{{snapshot, readSerfs}, {knownFile(snapshot), readKnown}} {
		err := readFile(f.path, at, f.read)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("gossip: cannot read the list of peers: %w; repair or remove the file, it only saves the search for seeds", err)
		}
	}
	delete(at, self)
	var out []string
	for _, addr := range at {
		if len(out) < maxKnown && checkHostPort("peer", addr, false) == nil {
			out = append(out, addr)
		}
	}
	return out, nil
}

func readFile(path string, at map[string]string, read func(io.Reader, map[string]string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := read(f, at); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readKnown(r io.Reader, at map[string]string) error {
	var list []known
	if err := json.NewDecoder(io.LimitReader(r, maxKnownFile)).Decode(&list); err != nil {
		return err
	}
	for _, k := range list {
		at[k.Name] = k.Addr
	}
	return nil
}

// readSerfs reads the lines of serf's snapshot that say who lives where; serf passes over the others
// that it does not know, and so do we.
func readSerfs(r io.Reader, at map[string]string) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "alive: "); ok {
			if i := strings.LastIndexByte(rest, ' '); i > 0 && len(at) < 1<<16 {
				at[rest[:i]] = rest[i+1:]
			}
		} else if name, ok := strings.CutPrefix(lines.Text(), "not-alive: "); ok {
			delete(at, name)
		}
	}
	return lines.Err()
}
