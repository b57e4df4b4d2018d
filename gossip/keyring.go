package gossip

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

const (
	maxKeyringFile = 64 << 10
	maxKeys        = 64
)

// LoadKeyring reads a keyring in serf's format: a JSON array of base64 strings, each a key of 16, 24
// or 32 bytes, the primary first. Errors name the file, the entry and what to do.
func LoadKeyring(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keyring %s: no such file; make one with: swarmpurse keys gossip new FILE", path)
	}
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", path, errors.Unwrap(err))
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxKeyringFile+1))
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", path, err)
	}
	if len(raw) > maxKeyringFile {
		return nil, fmt.Errorf("keyring %s: larger than %d bytes; this is not a keyring", path, maxKeyringFile)
	}
	keys, err := parseKeyring(raw)
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", path, err)
	}
	return keys, nil
}

func parseKeyring(raw []byte) ([][]byte, error) {
	var texts []string
	if err := json.Unmarshal(raw, &texts); err != nil {
		return nil, fmt.Errorf("not a JSON array of base64 strings: %w", err)
	}
	if len(texts) == 0 {
		return nil, errors.New("holds no key; leave the setting out to run without encryption")
	}
	if len(texts) > maxKeys {
		return nil, fmt.Errorf("holds %d keys, at most %d; remove those no longer used", len(texts), maxKeys)
	}
	keys := make([][]byte, 0, len(texts))
	for i, t := range texts {
		k, err := base64.StdEncoding.DecodeString(t)
		if err != nil {
			return nil, fmt.Errorf("key %d is not base64 (standard alphabet, padded)", i+1) // never the text: it is a secret
		}
		if memberlist.ValidateKey(k) != nil {
			return nil, fmt.Errorf("key %d has %d bytes; AES takes 16, 24 or 32", i+1, len(k))
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// KeyReport says how the nodes answered to a change of the keyring.
type KeyReport struct {
	Nodes, Answered, Failed int
	Errors                  map[string]string // by node, for those that failed
	Keys                    map[string]int    // base64 key to the number of nodes that have it
	Primary                 map[string]int    // base64 key to the number of nodes that encrypt with it
}

// KeyChange is a step of a rotation: install the new key everywhere, use it everywhere, remove the
// old one. Between the steps all nodes still understand each other.
type KeyChange uint8

const (
	ListKeys   KeyChange = iota // asks only
	InstallKey                  // all may decrypt with it
	UseKey                      // all encrypt with it
	RemoveKey                   // all forget it; refused for the one in use
)

// ChangeKeys asks all living nodes, this one included, to change their keyrings, and waits some
// seconds for their answers. Each node keeps the result in its Options.KeyringFile. The error says
// that not all did: repeat the step before the next one.
func (p *Pool) ChangeKeys(step KeyChange, key []byte) (KeyReport, error) {
	if !p.serf.EncryptionEnabled() {
		return KeyReport{}, errors.New("gossip: this cluster runs without encryption; start the nodes with --keyring FILE")
	}
	if step != ListKeys && memberlist.ValidateKey(key) != nil {
		return KeyReport{}, fmt.Errorf("gossip: the key has %d bytes; AES takes 16, 24 or 32", len(key))
	}
	m, text := p.serf.KeyManager(), base64.StdEncoding.EncodeToString(key)
	var r *serf.KeyResponse
	var err error
	switch step {
	case ListKeys:
		r, err = m.ListKeys()
	case InstallKey:
		r, err = m.InstallKey(text)
	case UseKey:
		r, err = m.UseKey(text)
	case RemoveKey:
		r, err = m.RemoveKey(text)
	default:
		return KeyReport{}, fmt.Errorf("gossip: no such change of keys: %d", step)
	}
	if r == nil {
		return KeyReport{}, fmt.Errorf("gossip: keys: %w", err)
	}
	report := KeyReport{r.NumNodes, r.NumResp, r.NumErr, r.Messages, r.Keys, r.PrimaryKeys}
	if err != nil {
		return report, fmt.Errorf("gossip: keys: %d of %d nodes answered, %d failed: %w; repeat this step before the next",
			r.NumResp, r.NumNodes, r.NumErr, err)
	}
	return report, nil
}
