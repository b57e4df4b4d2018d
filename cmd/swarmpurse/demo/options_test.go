package demo

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOptionsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"":                        func(*Options) {},
		"0 nodes":                 func(o *Options) { o.Nodes = 0 },
		"101 nodes":               func(o *Options) { o.Nodes = 101 },
		"-1 agents":               func(o *Options) { o.Agents = -1 },
		"a duration of 1s":        func(o *Options) { o.Duration = time.Second },
		"a rate of 0":             func(o *Options) { o.Rate = 0 },
		"a speed of -1":           func(o *Options) { o.Speed = -1 },
		"a cut of -1s":            func(o *Options) { o.Cut = -time.Second },
		"36000000 calls are more": func(o *Options) { o.Agents, o.Duration = 10_000, time.Hour },
	} {
		o := Defaults()
		change(&o)
		err := o.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	o := Defaults()
	o.Duration = 20 * time.Second
	if err := o.complete(); err != nil || o.Cut != 5*time.Second {
		t.Errorf("a cut of %v in 20 s, want a quarter; %v", o.Cut, err)
	}
	o = Defaults()
	o.Nodes = 1
	if err := o.complete(); err != nil || o.Cut != 0 {
		t.Errorf("one node cannot be cut in two, but is for %v; %v", o.Cut, err)
	}
}

// What can be wrong with the files is told before anything is started.
func TestWrongFilesStartNothing(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("what: is this"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*Options){
		func(o *Options) { o.Trace = bad },
		func(o *Options) { o.Policy = bad },
		func(o *Options) { o.Trace = bad + "-not" },
		func(o *Options) { o.Policy = bad + "-not" },
	} {
		o := Defaults()
		o.Binary = "/does/not/exist"
		change(&o)
		_, err := Run(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("error %v, want one that names %s", err, bad)
		}
		if strings.HasSuffix(o.Trace+o.Policy, "-not") && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error %v, want one of a missing file", err)
		}
	}
}
