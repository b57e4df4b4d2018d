package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy/enrol"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

func someEnrolled() []enrol.Word {
	return []enrol.Word{
		{Identity: enrol.Identity{Node: "n1", Key: trust.Key{1}}, At: 5, Why: "new", Who: trust.Key{2}, Sig: [64]byte{3}},
		{Identity: enrol.Identity{Node: strings.Repeat("n", enrol.MaxNode), Key: trust.Key{4}}, Expelled: true, At: 1 << 53, Why: strings.Repeat("w", enrol.MaxWhy), Who: trust.Key{2}},
	}
}

func FuzzDecodeEnrolled(f *testing.F) {
	f.Add(EncodeEnrolled(someEnrolled()))
	f.Add(EncodeHaveEnrolled(&HaveEnrolled{Node: "n1", Hash: [32]byte{1}}))
	f.Add(EncodeWantEnrolled(&WantEnrolled{Digest: enrol.Digest{1, 2, 3}, Back: true}))
	f.Add([]byte{version, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if ws, err := DecodeEnrolled(b, EnrolledAtOnce); err == nil {
			if again, err := DecodeEnrolled(EncodeEnrolled(ws), EnrolledAtOnce); err != nil || !reflect.DeepEqual(again, ws) {
				t.Errorf("%+v became %+v, %v", ws, again, err)
			}
			for i := range ws {
				if err := ws[i].Valid(); err != nil {
					t.Errorf("%+v: %v", ws[i], err)
				}
			}
		}
		if h, err := DecodeHaveEnrolled(b); err == nil {
			if again, err := DecodeHaveEnrolled(EncodeHaveEnrolled(&h)); err != nil || again != h {
				t.Errorf("%+v became %+v, %v", h, again, err)
			}
		}
		if w, err := DecodeWantEnrolled(b); err == nil {
			if again, err := DecodeWantEnrolled(EncodeWantEnrolled(&w)); err != nil || again != w {
				t.Errorf("%+v became %+v, %v", w, again, err)
			}
		}
	})
}

func TestEnrolled(t *testing.T) {
	ws := someEnrolled()
	b := EncodeEnrolled(ws)
	if again, err := DecodeEnrolled(b, 2); err != nil || !reflect.DeepEqual(again, ws) {
		t.Errorf("%+v, %v", again, err)
	}
	t.Logf("%d bytes for a node", len(EncodeEnrolled(ws[:1])))
	nobody := EncodeEnrolled([]enrol.Word{{}})
	short := encode(encode("n1", []byte{1}, int64(0), int64(5), "", make([]byte, 32), make([]byte, 64)))
	for name, x := range map[string][]byte{"empty": {}, "too many": EncodeEnrolled(append(ws, ws...)), "nobody": nobody, "cut off": b[:40], "a short key": short} {
		if got, err := DecodeEnrolled(x, 2); !errors.Is(err, ErrMalformed) || got != nil {
			t.Errorf("%s: %+v, error %v", name, got, err)
		}
	}
	if _, err := DecodeWantEnrolled(encode([]byte{1, 2}, int64(0))); !errors.Is(err, ErrMalformed) {
		t.Errorf("a short digest: %v", err)
	}
}
