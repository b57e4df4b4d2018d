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
		return nil, fmt.Errorf("keyring %s: no such file; make one with a JSON array of base64 keys: head -c 32 /dev/urandom | base64", path)
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
