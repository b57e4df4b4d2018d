package main

import (
	"errors"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
	"github.com/swarmpurse/swarmpurse/policy"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"swarmpurse": main})
}

// TestScripts runs testdata/script/*.txtar: each has a fresh node with 1,000 tokens in its budget
// "pot" behind $SWARMPURSE_NODE.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "", // writes what cmp finds into the scripts
		Setup: func(env *testscript.Env) error {
			node := apitest.New(1000)
			node.Check = func(src []byte) (int64, []string, error) {
				p, err := policy.Parse("policy", src)
				if err != nil {
					return 0, nil, err
				}
				return p.Revision(), nil, nil
			}
			s, err := api.New(api.Options{Node: node})
			if err != nil {
				return err
			}
			server := httptest.NewServer(s.Handler())
			env.Defer(server.Close)
			env.Setenv("SWARMPURSE_NODE", server.URL)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits CODE ARGS... runs swarmpurse and demands an exit code. Its output is that of `exec`.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	want := map[string]int{"0": exitOK, "1": exitFailed, "2": exitUsage, "3": exitDenied}
	code, known := want[args[0]]
	if !known {
		ts.Fatalf("no exit code %s", args[0])
	}
	err := ts.Exec("swarmpurse", args[1:]...)
	var exit interface{ ExitCode() int }
	got := 0
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != code {
		ts.Fatalf("exit code %d, want %d", got, code)
	}
}
