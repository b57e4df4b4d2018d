package scenario

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// FuzzParseBound: a bound is read, with what it says, or refused with advice.
func FuzzParseBound(f *testing.F) {
	for _, s := range Shipped() {
		sc, err := s.Parse()
		if err != nil {
			f.Fatal(err)
		}
		for _, b := range sc.Bounds {
			f.Add(b.Text)
		}
	}
	f.Add("wait_p99[x, y, z] <= 1s")
	f.Add("goodput >= 1e99%")
	beside := []Variant{{Name: "alone"}}
	f.Fuzz(func(t *testing.T, s string) {
		b, _, err := parseBound(s, beside)
		if err != nil {
			return
		}
		again, _, err := parseBound(b.Text, beside)
		if err != nil || again != b || !(b.Value >= 0) {
			t.Fatalf("%q is %+v, which is %+v: %v", s, b, again, err)
		}
	})
}

// FuzzParseBytes: so many bytes a second are above nothing, and whole.
func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"25kB/s", "1.5MB/s", "0B/s", "-1B/s", "1e3B/s", "kB/s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := parseBytes(s); err == nil && (!(n >= 0) || n != float64(int64(n))) {
			t.Fatalf("%q is %v", s, n)
		}
	})
}

// FuzzSet: a path and a value change a document into one that can be read, or are refused.
func FuzzSet(f *testing.F) {
	f.Add("network.loss", "10%")
	f.Add("zones.1.weight", "9")
	f.Add("policy.budgets.pool.price.base", "[a, b]")
	f.Add("name", "a # b")
	f.Add("nodes..x", "{")
	f.Add("A", `[aC "]`)
	f.Fuzz(func(t *testing.T, path, value string) {
		src, err := Set([]byte(setDocument), path, value)
		if err != nil {
			return
		}
		d := document.Decoder{Noun: "document"}
		if _, root := d.Open(src); root == nil || d.Err() != nil {
			t.Fatalf("%s=%q: %v\n%s", path, value, d.Err(), src)
		}
		if _, err := Set(src, path, value); err != nil {
			t.Fatalf("%s=%q a second time: %v\n%s", path, value, err, src)
		}
	})
}
