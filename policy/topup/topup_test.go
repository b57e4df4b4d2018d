package topup

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/purity"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

func TestPurity(t *testing.T) {
	const ours = "github.com/swarmpurse/swarmpurse/"
	purity.Check(t, purity.Allowed{
		"bytes": nil, "cmp": nil, "errors": nil, "fmt": {"Errorf", "Sprintf"}, "maps": nil, "slices": nil, "strconv": nil, "strings": nil,
		ours + "ledger": nil, ours + "policy/trust": nil,
	})
}

func holder(n int) ledger.Holder { return ledger.Holder{Node: fmt.Sprintf("n%d", n), Gen: uint64(n)} }

func instance(t interface{ Fatal(...any) }, budget string, key ...string) ledger.InstanceID {
	id, err := ledger.NewInstanceID(ledger.CharterID{7}, budget, "compute", ledger.Grant, make([]string, len(key)), key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestCovers: what is shown as minted must be signed for at that holder, for that instance, in that window.
func TestCovers(t *testing.T) {
	const minute, hour = 60_000, 3_600_000
	pot, search := instance(t, "pot"), instance(t, "day", "search")
	act := func(of int, budget string, n ledger.Tokens, id string, at int64, key ...string) Act {
		return Act{Holder: holder(of), Budget: budget, Key: key, Amount: n, ID: id, At: at, Who: trust.Key{1}}
	}
	grant := func(n ledger.Tokens) Shown { return Shown{holder(1), pot, 0, n} }
	window := func(hours int64, n ledger.Tokens) Shown {
		return Shown{holder(1), search, ledger.Window(hours * hour / 1000), n}
	}
	life := func(n ledger.Tokens) Shown {
		return Shown{holder(1), ledger.InstanceID(fmt.Sprintf("%s.%x-%x", pot, 5*3600, 6*3600)), 0, n}
	}
	if _, _, ok := life(1).Instance.Life(); !ok {
		t.Fatal(life(1).Instance)
	}
	for name, x := range map[string]struct {
		acts  []Act
		shown Shown
		want  bool
	}{
		"nothing is minted":                      {nil, grant(0), true},
		"nobody signed":                          {nil, grant(1), false},
		"signed":                                 {[]Act{act(1, "pot", 500, "a", 9)}, grant(500), true},
		"less than was signed":                   {[]Act{act(1, "pot", 500, "a", 9)}, grant(499), true},
		"more than was signed":                   {[]Act{act(1, "pot", 500, "a", 9)}, grant(501), false},
		"two acts":                               {[]Act{act(1, "pot", 500, "a", 9), act(1, "pot", 1, "b", 9)}, grant(501), true},
		"one act twice":                          {[]Act{act(1, "pot", 500, "a", 9), act(1, "pot", 500, "a", 9)}, grant(501), false},
		"one id signed for two amounts":          {[]Act{act(1, "pot", 300, "a", 9), act(1, "pot", 500, "a", 8)}, grant(501), false},
		"at another node":                        {[]Act{act(2, "pot", 500, "a", 9)}, grant(500), false},
		"for another budget":                     {[]Act{act(1, "jar", 500, "a", 9)}, grant(500), false},
		"for another key":                        {[]Act{act(1, "day", 500, "a", 3*hour, "chat")}, window(3, 500), false},
		"for that key":                           {[]Act{act(1, "day", 500, "a", 3*hour, "search")}, window(3, 500), true},
		"signed ten minutes before the turn":     {[]Act{act(1, "day", 500, "a", 3*hour-10*minute, "search")}, window(3, 500), true},
		"signed for the window before":           {[]Act{act(1, "day", 500, "a", 3*hour-10*minute-1, "search")}, window(3, 500), false},
		"signed for the life before":             {[]Act{act(1, "pot", 500, "a", 4*hour+49*minute)}, life(500), false},
		"signed for this life":                   {[]Act{act(1, "pot", 500, "a", 5*hour)}, life(500), true},
		"so much that the sum is more than fits": {[]Act{act(1, "pot", ledger.MaxTokens, "a", 9), act(1, "pot", ledger.MaxTokens, "b", 9)}, grant(ledger.MaxTokens), true},
	} {
		var b Book
		b.Merge(x.acts)
		if got := b.Covers(x.shown); got != x.want {
			t.Errorf("%s: %v, %d are signed", name, got, b.Signed(x.shown))
		}
	}
}

// TestPredates: what was there before anybody signed counts beside what was signed, in its window, and no more.
func TestPredates(t *testing.T) {
	var b Book
	pot := instance(t, "pot")
	show := func(n ledger.Tokens) Shown { return Shown{holder(1), pot, 0, n} }
	b.Predates(show(500))
	for n, want := range map[ledger.Tokens]bool{500: true, 501: false} {
		if b.Covers(show(n)) != want {
			t.Errorf("of 500 from before, %d: %v", n, !want)
		}
	}
	b.Merge([]Act{{Holder: holder(1), Budget: "pot", Amount: 100, ID: "a", At: 5}})
	b.Predates(show(550)) // it comes again
	for n, want := range map[ledger.Tokens]bool{600: true, 601: false} {
		if b.Covers(show(n)) != want {
			t.Errorf("of 500 from before and 100 that were signed, %d: %v", n, !want)
		}
	}
	next := show(101)
	next.Window = 1
	if b.Covers(next) {
		t.Error("it counts in the next window, too")
	}
	b.Keep(func(ledger.Holder) bool { return false })
	if b.Covers(show(1)) || b.Len() != 0 || len(b.All()) != 0 {
		t.Error("what is told of no more is kept")
	}
	if at := (Shown{Window: 7200}); !at.After(4*3600*1000-1_000_000_000) || at.After(7200_000) {
		t.Error("a window of 02:00 began after what, and not after what?")
	}
}

func TestRoom(t *testing.T) {
	var b Book
	pot := Shown{Holder: holder(1), Instance: instance(t, "pot")}
	for i := range MaxOfOne {
		if err := b.Room(pot); err != nil {
			t.Fatal(i, err)
		}
		b.Merge([]Act{{Holder: holder(1), Budget: "pot", Amount: 1, ID: fmt.Sprint(i), At: 5}})
	}
	if err := b.Room(pot); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "another node") {
		t.Error(err)
	}
	if err := b.Room(Shown{Holder: holder(1), Instance: instance(t, "jar")}); err != nil {
		t.Error(err)
	}
	for i := MaxOfOne; i < maxKept+5; i++ {
		b.Merge([]Act{{Holder: holder(i), Budget: "pot", Amount: 1, ID: "a", At: 5}})
	}
	if err := b.Room(Shown{Holder: holder(2), Instance: instance(t, "jar")}); !errors.Is(err, ErrFull) || b.Len() != maxKept {
		t.Error(err, b.Len())
	}
}

func TestCheck(t *testing.T) {
	secret, err := trust.NewSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	signs := func(k trust.Key) bool { return k == secret.Public() }
	good := Act{Holder: holder(1), Budget: "day", Key: []string{"search"}, Amount: 5, ID: "a", Why: "launch", At: 5, Who: secret.Public()}
	good.Sig = secret.Sign(good.Statement("c0"))
	if err := errors.Join(good.Valid(), good.Check("c0", signs)); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		change  func(*Act)
		charter string
		why     Reason
	}{
		"at another node":       {func(a *Act) { a.Holder.Node = "n2" }, "c0", Forged},
		"in another generation": {func(a *Act) { a.Holder.Gen++ }, "c0", Forged},
		"of another budget":     {func(a *Act) { a.Budget = "pot" }, "c0", Forged},
		"of another instance":   {func(a *Act) { a.Key = []string{"chat"} }, "c0", Forged},
		"of more":               {func(a *Act) { a.Amount++ }, "c0", Forged},
		"once more":             {func(a *Act) { a.ID = "b" }, "c0", Forged},
		"later":                 {func(a *Act) { a.At++ }, "c0", Forged},
		"for another reason":    {func(a *Act) { a.Why = "" }, "c0", Forged},
		"in another cluster":    {func(*Act) {}, "c1", Forged},
		"by a stranger":         {func(a *Act) { a.Who[0]++ }, "c0", Stranger},
	} {
		a := good
		x.change(&a)
		var no *Refused
		if err := a.Check(x.charter, signs); !errors.As(err, &no) || no.Why != x.why {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := strings.Repeat("x", 1000)
	for name, change := range map[string]func(*Act){
		"nobody": func(a *Act) { a.Holder = ledger.Holder{} }, "a long name": func(a *Act) { a.Holder.Node = long }, "no budget": func(a *Act) { a.Budget = "" },
		"a long key": func(a *Act) { a.Key = []string{long} }, "many keys": func(a *Act) { a.Key = make([]string, MaxKey+1) }, "nothing": func(a *Act) { a.Amount = 0 },
		"too much": func(a *Act) { a.Amount = ledger.MaxTokens + 1 }, "no id": func(a *Act) { a.ID = "" }, "a long reason": func(a *Act) { a.Why = long }, "no time": func(a *Act) { a.At = -1 },
	} {
		a := good
		if change(&a); a.Valid() == nil {
			t.Errorf("%s is valid", name)
		}
	}
}

func acts() *rapid.Generator[[]Act] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Act {
		return Act{
			Holder: holder(rapid.IntRange(1, 2).Draw(t, "holder")), Budget: rapid.SampledFrom([]string{"pot", "jar"}).Draw(t, "budget"), Amount: ledger.Tokens(rapid.IntRange(1, 3).Draw(t, "amount")),
			ID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id"), At: rapid.Int64Range(1, 3).Draw(t, "at"), Sig: [64]byte{byte(rapid.IntRange(0, 1).Draw(t, "sig"))},
		}
	}), 0, 8)
}

// TestLaws: Books that were told the same acts are the same, in whatever order and however often; what one says is news changes it; and more acts never
// allow less.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := acts().Draw(t, "a"), acts().Draw(t, "b")
		var x, y Book
		x.Merge(a)
		s := Shown{Holder: holder(1), Instance: instance(t, "pot"), Minted: ledger.Tokens(rapid.IntRange(0, 8).Draw(t, "minted"))}
		covered, before := x.Covers(s), x.All()
		news := x.Merge(b)
		if len(news) > 0 == reflect.DeepEqual(before, x.All()) {
			t.Fatalf("%+v is news, %+v became %+v", news, before, x.All())
		}
		if covered && !x.Covers(s) {
			t.Fatalf("more acts allow less of %+v", s)
		}
		y.Merge(b)
		y.Merge(rapid.Permutation(slices.Concat(a, b, a)).Draw(t, "order"))
		if !reflect.DeepEqual(x.All(), y.All()) || x.Len() != len(x.All()) || x.Len() != y.Len() {
			t.Fatalf("%+v and %+v", x.All(), y.All())
		}
		for _, w := range slices.Concat(a, b) {
			if !x.Has(&w) {
				t.Fatalf("%+v is not known", w)
			}
		}
	})
}

// TestHonestHoldersAreCovered: whatever an honest holder ever shows is covered where the acts have come that were done until then, in whatever order, also where old ones
// are forgotten as windows turn; and one token more than a grant's acts allow is not.
func TestHonestHoldersAreCovered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const length = 1800 // s, of a window
		now := int64(3_600_000)
		windowed := rapid.Bool().Draw(t, "windowed")
		state := Shown{Holder: holder(1), Instance: instance(t, "pot")}
		turn := func() {
			if w := ledger.Window(now / 1000 / length * length); windowed && w != state.Window {
				state.Window, state.Minted = w, 0
			}
		}
		turn()
		var done []Act
		var b Book // hears all at once
		for i := range rapid.IntRange(1, 12).Draw(t, "steps") {
			now += rapid.Int64Range(0, 1_000_000).Draw(t, "pause")
			a := Act{Holder: holder(1), Budget: "pot", Amount: ledger.Tokens(rapid.IntRange(1, 9).Draw(t, "amount")), ID: fmt.Sprint(i),
				At: now + rapid.Int64Range(-trust.Lasts, trust.Lasts).Draw(t, "wrong")}
			turn() // after it was signed, and before it is done
			state.Minted += a.Amount
			done = append(done, a)
			b.Merge([]Act{a})
			var late Book
			late.Merge(rapid.Permutation(done).Draw(t, "order"))
			if !b.Covers(state) || !late.Covers(state) {
				t.Fatalf("%+v of %+v", state, done)
			}
			b.Turn(state)
		}
		if state.Minted++; !windowed && b.Covers(state) {
			t.Fatalf("%+v of %+v", state, done)
		}
	})
}
