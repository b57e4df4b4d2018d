package frame

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The bytes of version 1: what is on the wire does not change, but for what comes at the end of a body.
func TestBytes(t *testing.T) {
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"hello", AppendHello(nil, Hello{1, 1, "sp_a"}), "00000013 01 00 737761726d7075727365 01 01 04 73705f61"},
		{"welcome", AppendWelcome(nil, Welcome{1, "n1", 1024}), "00000008 02 00 01 02 6e31 8008"},
		{"call", AppendCall(nil, 7, &Call{Tenant: "t", Model: "m", PromptTokens: 1200, Tokens: map[string]int64{"x": 1}, NoWait: true}),
			"00000017 03 07 02 0174 00 00 00 016d 00 00 e012 00 00 00 01 0178 02 00 00"},
		{"settlement", AppendSettlement(nil, 8, &Settlement{ID: "n1-1", Used: map[string]int64{"x": 2}, Outcome: "ok"}), "00000011 04 08 04 6e312d31 01 0178 04 00 02 6f6b 00 00"},
		{"release", AppendRelease(nil, 9, &Release{ID: "a"}), "00000005 05 09 0161 00"},
		{"cancel", Append(nil, KindCancel, 300), "00000003 06 ac02"},
		{"answer", AppendAnswer(nil, 7, &Answer{ID: "a", Decision: Admit, Reserved: []Charge{{"p", 3, 1}}, Code: "ok", Revision: 4, Node: "n"}),
			"0000001d 07 07 01 00 0161 01 0170 06 3ff0000000000000 00 026f6b 00 00 08 00 016e 00"},
		{"receipt", AppendReceipt(nil, 8, &Receipt{ID: "a", Late: true}), "00000007 08 08 0161 02 00 00"},
		{"error", AppendError(nil, 8, &Error{Status: 404, Code: "c", Message: "m"}), "0000000a 09 08 a806 0163 00 016d 00"},
		{"bye", Append(nil, KindBye, 0), "00000002 0a 00"},
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(tt.want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(tt.got, want) {
			t.Errorf("%s: %x\nwant %x", tt.name, tt.got, want)
		}
	}
}

func TestNext(t *testing.T) {
	whole := Append(nil, KindCancel, 5)
	for _, tt := range []struct {
		name string
		in   []byte
		took int
		err  error
	}{
		{"nothing", nil, 0, nil},
		{"part of its length", whole[:3], 0, nil},
		{"without its last byte", whole[:len(whole)-1], 0, nil},
		{"one", whole, len(whole), nil},
		{"one and a part", append(bytes.Clone(whole), 0, 0), len(whole), nil},
		{"empty", []byte{0, 0, 0, 0}, 0, ErrMalformed},
		{"no id", []byte{0, 0, 0, 1, 6}, 0, ErrMalformed},
		{"an id without end", append([]byte{0, 0, 0, 12, 6}, bytes.Repeat([]byte{0xff}, 11)...), 0, ErrMalformed},
		{"the longest", binary.BigEndian.AppendUint32(nil, MaxFrame), 0, nil},
		{"longer, though not there", binary.BigEndian.AppendUint32(nil, MaxFrame+1), 0, ErrTooLong},
		{"HTTP", []byte("POST /v1/admit HTTP/1.1\r\n"), 0, ErrTooLong},
	} {
		f, took, err := Next(tt.in)
		if took != tt.took || !errors.Is(err, tt.err) || took > 0 && (f.Kind != KindCancel || f.ID != 5 || len(f.Body) != 0) {
			t.Errorf("%s: %+v, %d, %v", tt.name, f, took, err)
		}
	}
}

// drawn fills a value with what chance brings.
func drawn[T any](t *rapid.T) (v T) {
	fill(t, reflect.ValueOf(&v).Elem(), "")
	return v
}

func fill(t *rapid.T, v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(rapid.StringN(0, 8, 40).Draw(t, name))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, name))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, name))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, name))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, name))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.Uint8().Draw(t, name)))
	case reflect.Pointer:
		if rapid.Bool().Draw(t, name) {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), name)
		}
	case reflect.Slice:
		if n := rapid.IntRange(0, 3).Draw(t, name); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(t, v.Index(i), name)
			}
		}
	case reflect.Map:
		if n := rapid.IntRange(0, 3).Draw(t, name); n > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				k, x := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(t, k, name)
				fill(t, x, name)
				v.SetMapIndex(k, x)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), v.Type().Field(i).Name)
		}
	default:
		panic("BUG: " + v.Kind().String())
	}
}

func stated(list []Amount) map[string]int64 {
	if len(list) == 0 {
		return nil
	}
	m := map[string]int64{}
	for _, a := range list {
		m[a.Token] = a.Tokens
	}
	return m
}

// Laws: what was written is read, also with more behind it, which a newer version may bring; and what is cut is noticed.
func TestRoundTrip(t *testing.T) {
	check := func(t *rapid.T, kind Kind, frame []byte, want any, read func([]byte) (any, error)) {
		f, took, err := Next(frame)
		if err != nil || took != len(frame) || f.Kind != kind {
			t.Fatalf("%x: %+v, %d of %d, %v", frame, f, took, len(frame), err)
		}
		for _, more := range [][]byte{nil, {0}, {1, 2, 3}} {
			if got, err := read(append(bytes.Clone(f.Body), more...)); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("read %+v, %v\nwant %+v", got, err, want)
			}
		}
		cut := rapid.IntRange(0, len(f.Body)).Draw(t, "cut")
		if cut < len(f.Body) {
			if got, err := read(f.Body[:cut]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%d of %d bytes are read as %+v, %v", cut, len(f.Body), got, err)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Uint64().Draw(t, "id")
		switch rapid.IntRange(0, 7).Draw(t, "kind") {
		case 0:
			v := drawn[Hello](t)
			check(t, KindHello, AppendHello(nil, v), v, func(b []byte) (any, error) { return ReadHello(b) })
		case 1:
			v := drawn[Welcome](t)
			check(t, KindWelcome, AppendWelcome(nil, v), v, func(b []byte) (any, error) { return ReadWelcome(b) })
		case 2:
			v := drawn[Call](t)
			check(t, KindAdmit, AppendCall(nil, id, &v), v, func(b []byte) (any, error) {
				var c Call
				list, err := ReadCall(b, &c, nil)
				c.Tokens = stated(list)
				return c, err
			})
		case 3:
			v := drawn[Settlement](t)
			check(t, KindSettle, AppendSettlement(nil, id, &v), v, func(b []byte) (any, error) {
				s, list, err := ReadSettlement(b, nil)
				s.Used = stated(list)
				return s, err
			})
		case 4:
			v := drawn[Release](t)
			check(t, KindRelease, AppendRelease(nil, id, &v), v, func(b []byte) (any, error) { return ReadRelease(b) })
		case 5:
			v := drawn[Answer](t)
			v.Level &= 0xff
			check(t, KindAnswer, AppendAnswer(nil, id, &v), v, func(b []byte) (any, error) {
				var a Answer
				err := ReadAnswer(b, &a)
				return a, err
			})
		case 6:
			v := drawn[Receipt](t)
			check(t, KindReceipt, AppendReceipt(nil, id, &v), v, func(b []byte) (any, error) {
				var c Receipt
				err := ReadReceipt(b, &c)
				return c, err
			})
		case 7:
			v := drawn[Error](t)
			check(t, KindError, AppendError(nil, id, &v), &v, func(b []byte) (any, error) { return ReadError(b) })
		}
	})
}

// FuzzRead: whatever comes is read or refused, within bounds, and what is read is written and read again as it was.
func FuzzRead(f *testing.F) {
	v := 0.5
	d := time.Second
	for _, b := range [][]byte{
		AppendHello(nil, Hello{1, 2, "sp_key"}), AppendWelcome(nil, Welcome{1, "n1", 9}),
		AppendCall(nil, 1, &Call{Tenant: "t", Data: []string{"eu/docs"}, Attributes: map[string]string{"a": "b"}, Tokens: map[string]int64{"compute": 3}, Wait: d}),
		AppendSettlement(nil, 2, &Settlement{ID: "a-1", Used: map[string]int64{"compute": 3}, Usage: &Usage{1, 2, 3, 4}, Score: &v, Upstream: &Upstream{429, d, &d, &v}}),
		AppendRelease(nil, 3, &Release{ID: "a-1", Upstream: &Upstream{Status: 503}}), Append(nil, KindCancel, 4),
		AppendAnswer(nil, 5, &Answer{ID: "a-1", Decision: Degrade, Reserved: []Charge{{"pot", 9, 1.5}}, Advice: &Advice{Model: "m", TopP: &v, Flags: []string{"f"}}}),
		AppendReceipt(nil, 6, &Receipt{ID: "a-1", Charged: []Charge{{"pot", 9, 0}}, Repeated: true}), AppendError(nil, 7, &Error{Status: 404, Code: "unknown_id"}),
		{0, 0, 0, 3, 3, 0, 0xff}, {0xff, 0xff, 0xff, 0xff},
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			f, took, err := Next(b)
			if err != nil || took == 0 {
				return
			}
			if took > len(b) || took > MaxFrame+HeaderLen {
				t.Fatalf("%d bytes of %d", took, len(b))
			}
			b = b[took:]
			var again []byte
			switch f.Kind {
			case KindHello:
				if h, err := ReadHello(f.Body); err == nil {
					again = AppendHello(nil, h)
				}
			case KindWelcome:
				if w, err := ReadWelcome(f.Body); err == nil {
					again = AppendWelcome(nil, w)
				}
			case KindAdmit:
				var c Call
				if list, err := ReadCall(f.Body, &c, nil); err == nil {
					c.Tokens = stated(list)
					again = AppendCall(nil, f.ID, &c)
					var d Call
					if list, err = ReadCall(body(t, again), &d, nil); err != nil {
						t.Fatal(err)
					}
					if d.Tokens = stated(list); !reflect.DeepEqual(c, d) {
						t.Fatalf("%+v, again %+v", c, d)
					}
				}
			case KindSettle:
				if s, list, err := ReadSettlement(f.Body, nil); err == nil {
					s.Used = stated(list)
					again = AppendSettlement(nil, f.ID, &s)
					if _, _, err := ReadSettlement(body(t, again), nil); err != nil {
						t.Fatal(err)
					}
				}
			case KindRelease:
				if l, err := ReadRelease(f.Body); err == nil {
					again = AppendRelease(nil, f.ID, &l)
				}
			case KindAnswer:
				var a Answer
				if ReadAnswer(f.Body, &a) == nil {
					again = AppendAnswer(nil, f.ID, &a)
				}
			case KindReceipt:
				var c Receipt
				if ReadReceipt(f.Body, &c) == nil {
					again = AppendReceipt(nil, f.ID, &c)
				}
			case KindError:
				if e, err := ReadError(f.Body); err == nil {
					again = AppendError(nil, f.ID, e)
				}
			}
			if again != nil {
				body(t, again)
			}
		}
	})
}

// body takes a frame apart that was written here.
func body(t *testing.T, b []byte) []byte {
	f, took, err := Next(b)
	if err != nil || took != len(b) {
		t.Fatalf("%x: %d of %d, %v", b, took, len(b), err)
	}
	return f.Body
}
