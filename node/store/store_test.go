package store

import "testing"

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, Node: "n1", Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(s.Identity())
	if err := s.Commit([]Write{{Accounts, "a", []byte("b")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(Options{Dir: dir, Node: "n1", Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Get(Accounts, "a")
	t.Logf("%q %v %v", v, err, s.disk.st)
}
