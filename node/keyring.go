package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
)

// The keys of gossip. A node with a data directory keeps its ring there, since keys change while it runs and --keyring may name a file
// that it cannot write, as a mounted secret is. The file of --keyring is taken over at the first start, and whenever it holds something
// else than it did when it was taken over last: so an operator can always give a node that was away too long the present keys.
const (
	ringName = "keyring.json"
	ringFrom = "keyring.from" // SHA-256 of the file of --keyring that the ring was taken from
)

// ringFile is where the ring is, "" for gossip without encryption.
func (n *Node) ringFile() (string, error) {
	o := &n.opts
	if o.Data == "" {
		return o.KeyringFile, nil
	}
	own, from := filepath.Join(o.Data, ringName), filepath.Join(o.Data, ringFrom)
	if o.KeyringFile == "" {
		switch _, err := os.Stat(own); {
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case err != nil:
			return "", &OptionError{"data", err, "the node's user must be able to read its directory"}
		}
		return n.checkRing(own)
	}
	src, err := os.ReadFile(o.KeyringFile)
	if err != nil {
		return "", &OptionError{"keyring", err, "name a file that this user can read"}
	}
	sum := []byte(hex.EncodeToString(sha256Of(src)) + "\n")
	was, err := os.ReadFile(from)
	if err == nil && bytes.Equal(was, sum) {
		if _, err := os.Stat(own); err == nil {
			return n.checkRing(own)
		}
	}
	// The ring first: after a crash between the two it is taken over again.
	if err = replaceFile(own, src); err == nil {
		err = replaceFile(from, sum)
	}
	if err != nil {
		return "", &OptionError{"data", fmt.Errorf("the keyring cannot be kept: %w", err), "free space on its disk, or check its rights"}
	}
	n.log.Info().Str("file", o.KeyringFile).Msg("the keyring was taken over into the data directory, where it is kept while keys change")
	return own, nil
}

func (n *Node) checkRing(file string) (string, error) {
	if _, err := gossip.LoadKeyring(file); err != nil {
		return "", &OptionError{"keyring", err, "copy " + ringName + " from the data directory of another node to a file and name it with --keyring"}
	}
	return file, nil
}

func sha256Of(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

// replaceFile writes a file that only this user can read: afterwards it has the old content or the new.
func replaceFile(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// keyID names a key of gossip without giving it away.
func keyID(text string) string { return hex.EncodeToString(sha256Of([]byte(text)))[:12] }

// GossipKeys asks all members which keys they have. See api.Keys.
func (n *Node) GossipKeys(context.Context) (api.GossipKeys, error) {
	k, _, err := n.gossipKeys()
	return k, err
}

func (n *Node) gossipKeys() (k api.GossipKeys, texts map[string]string, err error) {
	r, err := n.pool.ChangeKeys(gossip.ListKeys, nil)
	if err != nil {
		return k, nil, keysError(r, err)
	}
	k = api.GossipKeys{Nodes: r.Nodes, Away: []string{}, Keys: []api.GossipKey{}}
	texts = map[string]string{}
	for _, text := range slices.Sorted(maps.Keys(r.Keys)) {
		id := keyID(text)
		texts[id] = text
		k.Keys = append(k.Keys, api.GossipKey{ID: id, Nodes: r.Keys[text], Encrypting: r.Primary[text]})
	}
	slices.SortFunc(k.Keys, func(a, b api.GossipKey) int { return strings.Compare(a.ID, b.ID) })
	for _, m := range n.pool.Members() {
		if m.Status == gossip.Failed {
			k.Away = append(k.Away, m.Name)
		}
	}
	return k, texts, nil
}

func keysError(r gossip.KeyReport, err error) error {
	var said []string
	for _, node := range slices.Sorted(maps.Keys(r.Errors)) {
		if msg := r.Errors[node]; msg != "" {
			said = append(said, node+": "+msg)
		}
	}
	switch {
	case r.Nodes == 0:
		return fmt.Errorf("%w: %w", api.ErrDisabled, err)
	case len(said) > 0:
		return fmt.Errorf("%w: %w (%s)", api.ErrNotReady, err, strings.Join(said, "; "))
	}
	return fmt.Errorf("%w: %w", api.ErrNotReady, err)
}

// ChangeGossipKey takes one step of a rotation. See api.Keys. What would leave a member unable to understand the others is refused.
func (n *Node) ChangeGossipKey(_ context.Context, q api.GossipKeyChange) (api.GossipKeys, error) {
	k, texts, err := n.gossipKeys()
	if err != nil {
		return k, err
	}
	if len(k.Away) > 0 {
		return k, fmt.Errorf("%w: %s away, and would not understand the others when back: bring back what is away, or take it off the list with swarmpurse members remove NAME; until then all nodes go on with the keys they have",
			api.ErrConflict, isAre(k.Away))
	}
	text, known := texts[q.ID]
	if q.ID != "" && !known {
		return k, fmt.Errorf("%w: no node has a gossip key %.64q: swarmpurse keys gossip list shows them", admit.ErrInvalid, q.ID)
	}
	var step gossip.KeyChange
	var at api.GossipKey
	for _, x := range k.Keys {
		if x.ID == q.ID {
			at = x
		}
	}
	switch q.Step {
	case api.InstallKey:
		if step = gossip.InstallKey; q.ID == "" {
			var b [32]byte
			_, _ = rand.Read(b[:]) // it never fails
			text = base64.StdEncoding.EncodeToString(b[:])
		}
	case api.UseKey:
		if step = gossip.UseKey; at.Nodes < k.Nodes {
			return k, fmt.Errorf("%w: %d of %d nodes have the key %s: install it at all of them first", api.ErrConflict, at.Nodes, k.Nodes, q.ID)
		}
	case api.RemoveKey:
		if step = gossip.RemoveKey; at.Encrypting > 0 {
			return k, fmt.Errorf("%w: %d of %d nodes encrypt with the key %s: have them use another first", api.ErrConflict, at.Encrypting, k.Nodes, q.ID)
		}
	default:
		return k, fmt.Errorf("%w: step is %.64q: write %s, %s or %s", admit.ErrInvalid, q.Step, api.InstallKey, api.UseKey, api.RemoveKey)
	}
	if q.ID == "" && q.Step != api.InstallKey {
		return k, fmt.Errorf("%w: id is missing: say which key", admit.ErrInvalid)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return k, fmt.Errorf("a gossip key is no base64: %w", err)
	}
	id := keyID(text)
	r, err := n.pool.ChangeKeys(step, raw)
	if r.Answered > 0 {
		n.log.Warn().Str("event", "audit").Str("what", q.Step+" gossip key").Str("key", id).Str("by", q.By).Int("nodes", r.Nodes).Int("answered", r.Answered).Msg("an operator changes the keys of gossip")
		n.auditor.act(audit.Record{Kind: audit.Member, What: q.Step + " gossip key", Node: n.opts.Name, By: q.By, Hash: id})
	}
	if err != nil {
		return k, fmt.Errorf("key %s: %w", id, keysError(r, err))
	}
	k, _, err = n.gossipKeys()
	k.ID = id
	return k, err
}

func isAre(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, ", ") + " are"
}
