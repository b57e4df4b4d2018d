package node

import (
	"errors"
	"strings"
	"testing"
)

// TestPolicyInOptions: a document that is wrong stops the start and says where, and so do a document and a file at once.
func TestPolicyInOptions(t *testing.T) {
	for _, tt := range []struct {
		name, policy, file, want string
	}{
		{"wrong", "apiVersion: swarmpurse/v1\nrevision: 1\nbudgetz: []\n", "", "policy:3"},
		{"both", "apiVersion: swarmpurse/v1\nrevision: 1\n", "policy.yaml", "both"},
	} {
		n, err := New(Options{Name: "n1", Gossip: "127.0.0.1:0", HTTP: off, Policy: tt.policy, PolicyFile: tt.file})
		if err == nil {
			n.Close()
		}
		var o *OptionError
		if !errors.As(err, &o) || o.Flag != "policy" || !strings.Contains(err.Error(), tt.want) || o.Hint() == "" {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
