package node

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCallerKeys(t *testing.T) {
	sum := func(key string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(key))) }
	for _, tt := range []struct {
		name, file, err string
	}{
		{"two keys", "# ours\n\n" + sum("sp_a") + " search\n" + sum("sp_b") + "  ads crawler-1\n", ""},
		{"no tenant", sum("sp_a") + "\n", ":1: a line is SHA256-OF-KEY TENANT [AGENT]"},
		{"a key in clear", "\nsp_a search\n", ":2: a line is SHA256-OF-KEY TENANT [AGENT]"},
		{"a hash too long", sum("sp_a") + "00 search\n", ":1: a line is"},
		{"a hash too short", sum("sp_a")[2:] + " search\n", ":1: a line is"},
		{"too many words", sum("sp_a") + " a b c\n", ":1: a line is"},
		{"twice", sum("sp_a") + " a\n" + sum("sp_a") + " b\n", ":2: this key stands there already"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			keys, err := LoadCallerKeys(file)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c, ok := keys.Find("sp_a"); !ok || c.Tenant != "search" || c.Agent != "" {
				t.Errorf("sp_a is %+v, %v", c, ok)
			}
			if c, ok := keys.Find("sp_b"); !ok || c.Tenant != "ads" || c.Agent != "crawler-1" {
				t.Errorf("sp_b is %+v, %v", c, ok)
			}
			if _, ok := keys.Find("sp_c"); ok {
				t.Error("sp_c is known")
			}
		})
	}
	if _, err := LoadCallerKeys(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there gave no error")
	}
}
