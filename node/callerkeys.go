package node

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"github.com/swarmpurse/swarmpurse/node/llm"
)

// maxCallerKeys bounds a file of caller keys.
const maxCallerKeys = 100_000

// CallerKeys knows callers by the SHA-256 of their keys, so that the file gives none away.
type CallerKeys map[[sha256.Size]byte]llm.Caller

// LoadCallerKeys reads a file with a line per key: the SHA-256 of the key in hexadecimal, the tenant, and an
// agent if the key is one agent's. Empty lines and those that start with # are passed over. Keys start with
// "sp_"; `printf sp_… | sha256sum` makes the first column. Errors name the line.
func LoadCallerKeys(path string) (CallerKeys, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys := CallerKeys{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		f := strings.Fields(lines.Text())
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		var sum [sha256.Size]byte
		if raw, err := hex.DecodeString(f[0]); err != nil || copy(sum[:], raw) != len(sum) || len(raw) != len(sum) || len(f) < 2 || len(f) > 3 {
			return nil, fmt.Errorf("%s:%d: a line is SHA256-OF-KEY TENANT [AGENT]", path, n)
		}
		if _, twice := keys[sum]; twice {
			return nil, fmt.Errorf("%s:%d: this key stands there already", path, n)
		}
		if len(keys) == maxCallerKeys {
			return nil, fmt.Errorf("%s:%d: more than %d keys", path, n, maxCallerKeys)
		}
		c := llm.Caller{Tenant: f[1]}
		if len(f) == 3 {
			c.Agent = f[2]
		}
		keys[sum] = c
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// Find looks a key up. Only hashes are compared, so timing tells nothing of a key.
func (k CallerKeys) Find(key string) (llm.Caller, bool) {
	c, ok := k[sha256.Sum256([]byte(key))]
	return c, ok
}
