package identity

import (
	"bytes"
	"crypto/rand"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func TestKey(t *testing.T) {
	for _, node := range []string{"n1", "eu west+1", "näme/ü%"} {
		k, err := Make(node, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Load(node, k.Seed())
		if err != nil || again.Verifier() != k.Verifier() || !bytes.Equal(again.Public(), k.Public()) {
			t.Fatalf("%v: %s and %s", err, again.Verifier(), k.Verifier())
		}
		msg, err := note.Sign(&note.Note{Text: "word\n"}, k.Signer())
		if err != nil {
			t.Fatal(err)
		}
		v, err := note.NewVerifier(k.Verifier())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := note.Open(msg, note.VerifierList(v)); err != nil {
			t.Error(err)
		}
		if got, err := Node(Name(node)); err != nil || got != node {
			t.Errorf("%q came back as %q, %v", node, got, err)
		}
	}
	if _, err := Load("n1", []byte("short")); err == nil {
		t.Error("a short key was taken")
	}
	if _, err := Load("", make([]byte, 32)); err == nil {
		t.Error("a key of no node was taken")
	}
	if _, err := Make("n1", bytes.NewReader(nil)); err == nil {
		t.Error("a key was made of nothing")
	}
}
