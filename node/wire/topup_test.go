package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/topup"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

func someTopUps() []topup.Act {
	most := topup.Act{
		Holder: ledger.Holder{Node: strings.Repeat("n", topup.MaxNode), Gen: 1<<64 - 1}, Budget: strings.Repeat("b", topup.MaxField), Amount: ledger.MaxTokens,
		ID: strings.Repeat("i", topup.MaxID), Why: strings.Repeat("w", topup.MaxWhy), At: 1 << 53, Who: trust.Key{2},
	}
	for range topup.MaxKey {
		most.Key = append(most.Key, strings.Repeat("k", topup.MaxField))
	}
	return []topup.Act{
		{Holder: ledger.Holder{Node: "n1", Gen: 0x19b1f2c3d4e50001}, Budget: "tenant-day", Key: []string{"search"}, Amount: 500_000, ID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0", Why: "launch day", At: 1_700_000_000_000, Who: trust.Key{2}, Sig: [64]byte{3}},
		most,
	}
}

func FuzzDecodeTopUps(f *testing.F) {
	f.Add(EncodeTopUps(someTopUps()))
	f.Add(EncodeWantTopUps(ledger.Holder{Node: "n1", Gen: 5}))
	f.Add([]byte{version, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if as, err := DecodeTopUps(b, TopUpsAtOnce); err == nil {
			if again, err := DecodeTopUps(EncodeTopUps(as), TopUpsAtOnce); err != nil || !reflect.DeepEqual(again, as) {
				t.Errorf("%+v became %+v, %v", as, again, err)
			}
			for i := range as {
				if err := as[i].Valid(); err != nil {
					t.Errorf("%+v: %v", as[i], err)
				}
			}
		}
		if h, err := DecodeWantTopUps(b); err == nil {
			if again, err := DecodeWantTopUps(EncodeWantTopUps(h)); err != nil || again != h {
				t.Errorf("%+v became %+v, %v", h, again, err)
			}
		}
	})
}

func TestTopUps(t *testing.T) {
	as := someTopUps()
	b := EncodeTopUps(as)
	if again, err := DecodeTopUps(b, 2); err != nil || !reflect.DeepEqual(again, as) {
		t.Errorf("%+v, %v", again, err)
	}
	t.Logf("%d bytes for a top-up", len(EncodeTopUps(as[:1])))
	many := as[0]
	many.Key = make([]string, topup.MaxKey+1)
	for name, x := range map[string][]byte{
		"empty": {}, "too many": EncodeTopUps(append(as, as...)), "nothing": EncodeTopUps([]topup.Act{{}}), "cut off": b[:40], "a long key": EncodeTopUps([]topup.Act{many}),
	} {
		if got, err := DecodeTopUps(x, 2); !errors.Is(err, ErrMalformed) || got != nil {
			t.Errorf("%s: %+v, error %v", name, got, err)
		}
	}
	if _, err := DecodeWantTopUps(encode("n1", int64(0))); !errors.Is(err, ErrMalformed) {
		t.Errorf("a question about nobody: %v", err)
	}
}
