package explore

import (
	"reflect"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// open makes a field writable, exported or not.
func open(v reflect.Value) reflect.Value {
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

// fill puts something that is not zero into everything under v.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(3)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(3)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(3)
	case reflect.String:
		v.SetString("three")
	case reflect.Pointer:
		if v.Type().Elem().Name() == "Location" { // scopes reckon in UTC, which is nil
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Interface:
		if v.NumMethod() == 0 {
			v.Set(reflect.ValueOf(&ledger.Ack{In: 3}))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(val)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, val)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(open(v.Field(i)))
		}
	}
}

// change makes v another value, and returns how to undo it; nil if there is no other.
func change(v reflect.Value) func() {
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.String:
		v.SetString(v.String() + "!")
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		v.SetZero()
	default:
		return nil
	}
	return func() { v.Set(was) }
}

// TestFingerprint changes everything in a replica that is full of everything, bit by bit: each change must show,
// unless it is to what is ignored. So a field that is added to the ledger is told apart from its first day on.
func TestFingerprint(t *testing.T) {
	r := reflect.New(reflect.TypeFor[ledger.Replica]())
	fill(r.Elem())
	kinds := newShapes()
	print := func() print128 {
		e := &encoder{seen: map[address]int{}, shapes: kinds}
		e.value(r)
		return e.sum()
	}
	whole := print()
	seen, leaves := map[string]bool{}, 0
	var walk func(v reflect.Value, path string, skipped bool)
	walk = func(v reflect.Value, path string, skipped bool) {
		if undo := change(v); undo != nil {
			leaves++
			if changed := print() != whole; changed == skipped {
				t.Errorf("a change of %s shows: %v", path, changed)
			}
			undo()
		}
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem(), path, skipped)
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i), path+"[]", skipped)
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next(); {
				if it.Value().Kind() == reflect.Pointer {
					walk(it.Value().Elem(), path+"[]", skipped)
				}
			}
		case reflect.Struct:
			for i := range v.NumField() {
				name := fieldName(v.Type(), i)
				seen[name] = true
				if v.Type().Field(i).Name == "_" || ignored[name] != "" && v.Field(i).Kind() == reflect.Func {
					continue
				}
				walk(open(v.Field(i)), path+"."+v.Type().Field(i).Name, skipped || ignored[name] != "")
			}
		}
	}
	walk(r.Elem(), "Replica", false)
	if leaves < 300 {
		t.Errorf("only %d changes were tried", leaves)
	}
	for name, why := range ignored {
		if why == "" || strings.HasPrefix(name, "ledger.") && !seen[name] {
			t.Errorf("%s is ignored and is no field, or there is no reason", name)
		}
	}
	for _, name := range append(signals, versions...) {
		if !seen[name] {
			t.Errorf("%s is skipped in scopes and is no field", name)
		}
	}
}

// TestFingerprintOfTheUnknown: what cannot be told apart is not passed over.
func TestFingerprintOfTheUnknown(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a function was encoded")
		}
	}()
	(&encoder{seen: map[address]int{}, shapes: newShapes()}).value(reflect.ValueOf(&struct{ f func() }{}))
}

// TestSymmetry: where nodes are alike, a search that takes a state and its mirror image for one finds exactly as many
// states as one that keeps them apart finds pairs.
func TestSymmetry(t *testing.T) {
	for _, s := range Scopes() {
		if len(s.group()) == 1 {
			continue
		}
		run := func(apart bool) *search {
			x, err := newSearch(&s)
			if err != nil {
				t.Fatal(err)
			}
			x.apart = apart
			x.res.breadthFirst(Limits{Depth: 4}, func() int { return len(x.worlds) }, x.expand)
			return x
		}
		merged, apart := run(false), run(true)
		apart.apart = false
		pairs := map[print128]bool{}
		for i := range apart.worlds {
			pairs[apart.print(&apart.worlds[i])] = true
		}
		if len(pairs) != len(merged.worlds) || len(apart.worlds) < len(pairs)*3/2 {
			t.Errorf("%s: %d states apart, %d pairs of them, %d merged", s.Name, len(apart.worlds), len(pairs), len(merged.worlds))
		}
	}
}
