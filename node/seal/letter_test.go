package seal

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestLetter(t *testing.T) {
	n1, n2 := signer("n1", 7), signer("n2", 9)
	b := meet(t, "n3", n1, n2)
	letter := n1.Letter("n3", false, []byte("ask"), nil, []byte("transfer"))
	got, dir, err := b.OpenLetter(1, "n1", letter)
	if err != nil || dir != 7 || !slices.EqualFunc(got, [][]byte{[]byte("ask"), {}, []byte("transfer")}, bytes.Equal) {
		t.Fatalf("%q of directory %x, %v", got, dir, err)
	}
	if _, _, err := b.OpenLetter(1, "n1", n1.Letter("", false, []byte("to all"))); err != nil {
		t.Error(err)
	}
	_, _, err = b.OpenLetter(1, "n1", letter)
	want(t, "the same again", err, Replayed)
	_, _, err = b.OpenLetter(1, "n1", n1.Letter("n4", false, []byte("x")))
	want(t, "one for another node", err, Forged)
	_, _, err = b.OpenLetter(1, "n1", n2.Letter("n3", false, []byte("x")))
	want(t, "one that another node has signed", err, WrongKey)
	_, _, err = b.OpenLetter(1, "n1", n2.Letter("n3", true, []byte("x")))
	if err != nil { // another directory of n1, with a key of its own: a name says little
		want(t, "one that another node has signed", err, Forged)
	}
	_, _, err = b.OpenLetter(1, "n9", n1.Letter("n3", false, []byte("x")))
	want(t, "one of a node that is not known", err, UnknownKey)
	_, _, err = b.OpenLetter(1, "n1", nil)
	want(t, "nothing", err, Malformed)
	for i := range letter {
		bad := bytes.Clone(n1.Letter("n3", i%2 == 0, []byte("ask"), []byte("transfer"))) // a number of its own
		bad[i%len(bad)] ^= 0x10
		if got, _, err := b.OpenLetter(1, "n1", bad); err == nil {
			t.Fatalf("byte %d changed: %q", i, got)
		}
	}
}

// A key stays with its directory; a directory that begins later has its own; nothing of this node is hearsay.
func TestKeys(t *testing.T) {
	n1, other, next := signer("n1", 7), signer("n2", 7), signer("n1", 9)
	b := meet(t, "n3", n1)
	want(t, "another key of one directory", b.Meet("n1", 7, other.pin.Key), WrongKey)
	_, _, err := b.OpenLetter(1, "n1", NewSigner("n1", 7, other.key, 1).Letter("n3", true, []byte("x")))
	want(t, "the same in a letter", err, WrongKey)
	if _, dir, err := b.OpenLetter(1, "n1", next.Letter("n3", true, []byte("x"))); err != nil || dir != 9 {
		t.Errorf("the next directory: %x, %v", dir, err)
	}
	for _, c := range []struct {
		dir, gen uint64
		why      Reason
	}{{7, 7, 0}, {7, 8, 0}, {9, 9, 0}, {9, 12, 0}, {7, 9, NotTheirs}, {9, 8, NotTheirs}, {9, 5, NotTheirs}} {
		if err := b.Speaks("n1", c.dir, c.gen); c.why == 0 && err != nil {
			t.Errorf("directory %d as generation %d: %v", c.dir, c.gen, err)
		} else if c.why != 0 {
			want(t, "a generation of another directory", err, c.why)
		}
	}
	b.Hearsay("n1", 7, other.pin.Key)
	b.Hearsay("n3", 4, other.pin.Key)
	if p, _ := b.KeyOf("n1", 8); !bytes.Equal(p.Key, n1.pin.Key) {
		t.Error("hearsay took the place of a key that was known")
	}
	if err := b.Meet("n3", 6, next.pin.Key); err != nil {
		t.Fatal(err)
	}
	b.Hearsay("n3", 8, other.pin.Key)
	if p, _ := b.KeyOf("n3", 8); p.Dir != 6 {
		t.Error("hearsay on a later life of this node was believed")
	}
	b.Hearsay("n3", 4, other.pin.Key)
	if p, _ := b.KeyOf("n3", 5); p.Dir != 4 {
		t.Error("hearsay on an earlier directory of this node's name was not believed")
	}
	b.Hearsay("n4", 4, other.pin.Key)
	if err := b.Meet("n4", 4, n1.pin.Key); err != nil {
		t.Errorf("a node's own word goes before hearsay: %v", err)
	}
	for dir := range uint64(8) {
		_ = b.Meet("n5", dir+1, n1.pin.Key)
	}
	if len(b.pins["n5"]) != maxDirs || b.pins["n5"][maxDirs-1].Dir != 8 {
		t.Errorf("%d directories of one name are known", len(b.pins["n5"]))
	}
	want(t, "an old directory", b.Meet("n5", 1, n1.pin.Key), UnknownKey)
}

// Letters may overtake each other, each is read once, and one of an earlier run is not read.
func TestRuns(t *testing.T) {
	n1 := signer("n1", 7)
	b := meet(t, "n2", n1)
	first, second := n1.Letter("n2", false, []byte("1")), n1.Letter("n2", false, []byte("2"))
	late := NewSigner("n1", 7, n1.key, 1000).Letter("n2", false, []byte("3"))
	for _, l := range [][]byte{second, first} {
		if _, _, err := b.OpenLetter(0, "n1", l); err != nil {
			t.Fatal(err)
		}
	}
	again := NewSigner("n1", 7, n1.key, 1001)
	if _, _, err := b.OpenLetter(0, "n1", again.Letter("n2", false, []byte("a"))); err != nil {
		t.Fatal(err)
	}
	_, _, err := b.OpenLetter(9_000, "n1", n1.Letter("n2", false, []byte("4")))
	want(t, "one that was on its way while its sender started again", err, Replayed)
	_, _, err = b.OpenLetter(11_000, "n1", n1.Letter("n2", false, []byte("5")))
	want(t, "an earlier run that still speaks", err, TwoLives)
	_, _, err = b.OpenLetter(0, "n1", late)
	want(t, "a number that was read", err, Replayed)
}

func TestWindowLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		w.run = 1
		read := map[uint64]bool{}
		highest := uint64(0)
		for _, seq := range rapid.SliceOf(rapid.OneOf(rapid.Uint64Range(1, 200), rapid.Uint64Range(1, 3*windowBits))).Draw(t, "numbers") {
			fresh := w.fresh(1, seq)
			switch {
			case read[seq] && fresh:
				t.Fatalf("%d is read twice", seq)
			case !read[seq] && !fresh && seq+windowBits > highest:
				t.Fatalf("%d is refused, of %d", seq, highest)
			}
			if fresh {
				w.mark(0, 1, seq)
				read[seq], highest = true, max(highest, seq)
			}
		}
	})
}

func TestState(t *testing.T) {
	n1 := signer("n1", 7)
	parts := [][]byte{[]byte("digest"), []byte("charter")}
	b := NewBook("n2")
	seal := n1.State(parts)
	from, dir, err := b.OpenState(0, seal, parts)
	if err != nil || from != "n1" || dir != 7 || !b.Signs("n1") {
		t.Fatalf("%q %x, %v", from, dir, err)
	}
	_, _, err = b.OpenState(0, seal, parts)
	want(t, "again", err, Replayed)
	for _, other := range [][][]byte{parts[:1], {[]byte("digestcharter")}, {[]byte("digest"), []byte("Charter")}} {
		_, _, err = b.OpenState(0, n1.State(parts), other)
		want(t, "other parts", err, Forged)
	}
	_, _, err = b.OpenState(0, NewSigner("n1", 7, signer("n3", 1).key, 1).State(parts), parts)
	want(t, "another key", err, WrongKey)
	_, _, err = b.OpenState(0, seal[:40], parts)
	want(t, "half a seal", err, Malformed)
}

// Signatures in one node's name are checked so many times a second, whoever it is that speaks in it, and those of others go on.
func TestFlood(t *testing.T) {
	n1, n2 := signer("n1", 7), signer("n2", 7)
	b := meet(t, "n3", n1, n2)
	b.buckets.Add("n1", &bucket{left: 3})
	refused := 0
	for range 5 {
		if _, _, err := b.OpenLetter(0, "n1", n1.Letter("n3", false, []byte("x"))); err != nil {
			want(t, "too many", err, Flood)
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d of 5 were refused, of which 3 may be checked", refused)
	}
	if _, _, err := b.OpenLetter(0, "n2", n2.Letter("n3", false, []byte("x"))); err != nil {
		t.Error(err)
	}
	if _, _, err := b.OpenLetter(1, "n1", n1.Letter("n3", false, []byte("x"))); err != nil {
		t.Errorf("a moment later: %v", err)
	}
}

func FuzzOpenLetter(f *testing.F) {
	n1 := signer("n1", 7)
	f.Add(n1.Letter("n2", false, []byte("a"), []byte("bc")))
	f.Add(n1.Letter("n2", true, []byte("a")))
	f.Add(n1.Letter("", false))
	f.Fuzz(func(t *testing.T, msg []byte) {
		l, err := parseLetter(msg)
		if err != nil {
			return
		}
		size := 0
		for _, p := range l.payloads {
			size += len(p)
		}
		if size > len(msg) || len(l.payloads) > maxPayloads || len(l.body)+len(l.sig) != len(msg) {
			t.Fatalf("%d bytes in %d", size, len(msg))
		}
		b := meet(t, "n2", n1)
		if _, dir, err := b.OpenLetter(0, "n1", msg); err == nil && dir != 7 && l.key == nil {
			t.Fatal("a letter without a known key was read")
		}
	})
}

func FuzzOpenState(f *testing.F) {
	n1 := signer("n1", 7)
	parts := [][]byte{[]byte("x")}
	f.Add(n1.State(parts))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if from, _, err := NewBook("n2").OpenState(0, msg, parts); err == nil && (from == "" || len(from) > maxName) {
			t.Fatalf("the state of %q", from)
		}
	})
}
