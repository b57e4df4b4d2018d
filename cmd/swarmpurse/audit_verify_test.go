package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/spf13/cobra"
)

// TestPeerNamedTwice: what a peer keeps of a log is compared once, though the user names a peer that the node names, too.
func TestPeerNamedTwice(t *testing.T) {
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"checkpoints":[
			{"of":"n1","by":"n2","key":"k","size":5,"at":"2026-12-01T17:24:13Z","note":"a"},
			{"of":"n1","by":"n2","key":"k","size":9,"at":"2026-12-01T17:24:19Z","note":"b"},
			{"of":"n3","by":"n2","key":"k","size":7,"at":"2026-12-01T17:24:19Z","note":"c"}]}`)
	}))
	defer peer.Close()
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	a := &app{stderr: io.Discard, getenv: func(string) string { return "" }}
	seen := a.sightings(cmd, []string{peer.URL, peer.Listener.Addr().String()}, "n1")
	if len(seen) != 2 || seen[0].Size != 5 || seen[1].Size != 9 {
		t.Errorf("compared: %+v", seen)
	}
}
