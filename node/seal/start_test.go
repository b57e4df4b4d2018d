package seal

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// started is what a process says that runs on a directory, and what is on its disk.
type started struct {
	*Signer
	before, word uint64
}

func (p *started) start(heard uint64) *Start { return p.Start(p.before, p.word, heard) }

// begin starts a process on a directory whose last run was before, at a time.
func begin(of *Signer, before, now, word uint64) *started {
	return &started{NewSigner(of.name, of.pin.Dir, of.key, max(now, before+1)), before, word}
}

// TestWhoLivesKnowsOfCopies: what a process that lives can tell of a start on its directory.
func TestWhoLivesKnowsOfCopies(t *testing.T) {
	n1 := signer("n1", 7)
	lives := begin(n1, 200, 300, 10)
	for _, c := range []struct {
		name   string
		other  *Start
		copied bool
	}{
		{"its own", lives.start(0), false},
		{"the one before it, again", begin(n1, 100, 200, 2).start(0), false},
		{"the first one, again", begin(n1, 0, 100, 1).start(0), false},
		{"a copy that was made at rest", begin(n1, 200, 400, 11).start(0), true},
		{"in one millisecond", begin(n1, 200, 300, 11).start(0), true},
		{"whose clock is behind", begin(n1, 200, 50, 11).start(0), true},
		{"a copy that was made while it ran", begin(n1, 300, 400, 11).start(0), true},
		{"and has started again", begin(n1, 400, 500, 12).start(0), true},
		{"an older copy", begin(n1, 100, 400, 11).start(0), true},
		{"an older copy whose clock is behind looks like one before it", begin(n1, 100, 150, 11).start(0), false},
		{"another directory of that node", begin(signer("n1", 8), 200, 400, 11).start(0), false},
		{"another node", begin(signer("n2", 7), 200, 400, 11).start(0), false},
	} {
		proof := lives.Outlived(lives.start(0), c.other)
		if (proof != nil) != c.copied {
			t.Errorf("%s: %v", c.name, !c.copied)
		}
		if proof == nil {
			continue
		}
		p, err := ParseProof(proof.Encode())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if news, err := meet(t, "n3", n1).Convict(0, "n2", p); !news || err != nil {
			t.Errorf("%s: %v %v", c.name, news, err)
		}
	}
}

// TestStartLaws: while one process at a time runs on a directory, none of them has proof against it, whichever starts it hears of again; and one that
// lives when another begins on a copy has, which nobody else could have made.
func TestStartLaws(t *testing.T) {
	n1 := signer("n1", 7)
	rapid.Check(t, func(t *rapid.T) {
		word, now := uint64(0), uint64(1000)
		next := func(before uint64) *started {
			word++
			now += uint64(rapid.IntRange(0, 3).Draw(t, "later"))
			return begin(n1, before, now-uint64(rapid.IntRange(0, 900).Draw(t, "clock behind by")), word)
		}
		var chain []*started
		before := uint64(0)
		for range rapid.IntRange(1, 6).Draw(t, "starts") {
			p := next(before)
			chain, before = append(chain, p), p.run
			for _, old := range chain {
				if p.Outlived(p.start(0), old.start(0)) != nil {
					t.Fatalf("run %d takes run %d, which has ended, for one on a copy", p.run, old.run)
				}
			}
		}
		lives := chain[len(chain)-1]
		other := next(rapid.SampledFrom([]uint64{lives.before, lives.run}).Draw(t, "copied before or after its start"))
		for range rapid.IntRange(0, 2).Draw(t, "starts of the copy before it is heard of") {
			other = next(other.run)
		}
		proof := lives.Outlived(lives.start(0), other.start(0))
		if proof == nil {
			t.Fatalf("run %d after %d does not see that run %d after %d is on a copy", lives.run, lives.before, other.run, other.before)
		}
		// Without the words of both nobody has it.
		stranger := *proof
		stranger.starts[0] = lives.start(0)
		if _, err := ParseProof(stranger.Encode()); err == nil {
			t.Fatal("two starts are a proof, of which none has heard of the other")
		}
	})
}

func TestStartsAreChecked(t *testing.T) {
	n1 := signer("n1", 7)
	one := begin(n1, 100, 200, 2).start(0)
	b := meet(t, "n2", n1)
	_, err := b.OpenStart(0, begin(signer("n3", 7), 100, 200, 2).start(0).Encode())
	want(t, "a start of somebody who is not known", err, UnknownKey)
	forged := bytes.Clone(one.Encode())
	forged[len(forged)-1] ^= 1
	_, err = b.OpenStart(0, forged)
	want(t, "a wrong signature", err, Forged)
	for i := range len(one.Encode()) {
		if _, err := ParseStart(one.Encode()[:i]); err == nil {
			t.Errorf("%d bytes of a start are one", i)
		}
	}
	if got, err := b.OpenStart(0, one.Encode()); err != nil || got.Word != 2 || got.Run != 200 || got.Before != 100 || got.Dir != 7 {
		t.Fatal(got, err)
	}
	proof := begin(n1, 100, 300, 3).Outlived(begin(n1, 100, 300, 3).start(0), one)
	forgedProof := bytes.Clone(proof.Encode())
	forgedProof[len(forgedProof)-1] ^= 1
	p, err := ParseProof(forgedProof)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Convict(0, "n2", p)
	want(t, "a proof with a wrong signature", err, Forged)
	if news, err := b.Convict(0, "n2", proof); !news || err != nil {
		t.Fatal(news, err)
	}
	_, err = b.OpenStart(0, one.Encode())
	want(t, "a start under a key that is refused for good", err, Convicted)
}

func FuzzParseStart(f *testing.F) {
	n1 := signer("n1", 7)
	f.Add(begin(n1, 100, 200, 2).start(0).Encode())
	f.Add(begin(n1, 0, 200, 2).start(3).Encode())
	f.Fuzz(func(t *testing.T, msg []byte) {
		s, err := ParseStart(msg)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Encode(), msg) {
			t.Fatalf("%x became %x", msg, s.Encode())
		}
		b := meet(t, "n2", signer("n3", 1))
		if _, err := b.OpenStart(0, msg); err == nil {
			t.Fatal("a start of a node that is not known was taken")
		}
	})
}
