package audit

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzWitnessFile: whatever stands in the file of a witness, it holds nothing that is not signed, and goes on.
func FuzzWitnessFile(f *testing.F) {
	l, _ := open(f, Options{Dir: filepath.Join(scratch(f), "audit"), Key: testKey(f, "n1"), open: hasty})
	dir := scratch(f)
	w, _, err := OpenWitness("n2", testKey(f, "n2"), dir)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 3 {
		if err := l.Append(int64(i), [][]byte{entry(i)}); err != nil {
			f.Fatal(err)
		}
		head, _ := l.Head()
		if _, _, _, err := w.Receive(int64(i), &Told{Node: "n1", Key: testKey(f, "n1").Verifier(), Note: head}); err != nil {
			f.Fatal(err)
		}
		if err := w.Save(); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, witnessName))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"logs":[null,{"Notes":[""]}],"alarms":[{}]}`))
	f.Add([]byte("null"))
	key := testKey(f, "n2")
	f.Fuzz(func(t *testing.T, b []byte) {
		write(t, dir, witnessName, b)
		w, _, err := OpenWitness("n2", key, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range []string{"n1", "n3"} {
			for _, s := range w.Sightings(node) {
				if c, err := OpenCheckpoint([]byte(s.Note), s.Key); err != nil || c != s.Checkpoint {
					t.Fatalf("it keeps %+v, which is %+v: %v", s, c, err)
				}
			}
		}
		head, _ := l.Head()
		if _, _, _, err := w.Receive(9, &Told{Node: "n1", Key: testKey(t, "n1").Verifier(), Note: head}); err != nil {
			t.Fatalf("it takes no more: %v", err)
		}
		if err := w.Save(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzPruned: what is kept of deleted segments is whole, or damaged.
func FuzzPruned(f *testing.F) {
	dir, _ := made(f, 330, 9)
	f.Add(files(f, dir)[prunedName])
	f.Add([]byte("null\n"))
	dir = scratch(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		write(t, dir, prunedName, b)
		p, err := readPruned(dir)
		if err != nil {
			if !errors.Is(err, errPrunedDamaged) || p != nil {
				t.Fatalf("%+v, %v", p, err)
			}
			return
		}
		if !bytes.Equal(p.encode(), b) || p.Size <= 0 {
			t.Fatalf("%+v has two spellings", p)
		}
		if r, err := Verify(dir, "", nil); err != nil || r.OK() {
			t.Fatalf("it is believed without a log: %+v, %v", r, err)
		}
	})
}

// FuzzUnpack: an archive makes files of a log in the directory, within the bound, and no others anywhere.
func FuzzUnpack(f *testing.F) {
	for _, name := range []string{keyName, "../" + keyName, segName(0) + segSuffix, segName(0) + hashSuffix, prunedName, "/tmp/x", ".", ""} {
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		if err := errors.Join(tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: 3}), func() error { _, err := tw.Write([]byte("abc")); return err }(), tw.Close()); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	root := scratch(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := filepath.Join(root, "d")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		const most = 100_000
		_ = Unpack(bytes.NewReader(b), dir, most)
		total := 0
		for name, b := range files(t, dir) {
			if _, seg := firstOf(name); !seg && name != keyName && name != prunedName && filepath.Ext(name) != hashSuffix {
				t.Errorf("%q was made", name)
			}
			total += len(b)
		}
		if list, err := os.ReadDir(root); err != nil || len(list) != 1 || total > most {
			t.Errorf("%v beside it, %d bytes in it (%v)", list, total, err)
		}
	})
}
