package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// TestReloadLevel: SIGHUP makes the log more and less verbose, by the configuration file, unless the command line or
// the environment says more.
func TestReloadLevel(t *testing.T) {
	config := filepath.Join(t.TempDir(), "node.yaml")
	write := func(text string) {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	log, least, err := telemetry.NewLogger(&out, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	f := pflag.NewFlagSet("node", pflag.ContinueOnError)
	f.String("log-level", "info", "")
	none := func(string) string { return "" }
	set := func(name string) string {
		return map[string]string{"SWARMPURSE_LOG_LEVEL": "warn"}[name]
	}
	for _, c := range []struct {
		name, file string
		env        func(string) string
		debug      bool
		err        string
	}{
		{"more", "log-level: debug", none, true, ""},
		{"less", "log-level: error", none, false, ""},
		{"more again", "log-level: debug", none, true, ""},
		{"the environment wins", "log-level: debug", set, false, ""},
		{"the file does not say", "name: n1", none, false, ""},
		{"no level", "log-level: loud", none, false, "unknown log level"},
		{"no YAML", "log-level: [", none, false, "--config"},
	} {
		write(c.file)
		err := reloadLevel(least, f, c.env, config, "warn")
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v", c.name, err)
		}
		out.Reset()
		if log.Debug().Msg("x"); (out.Len() > 0) != c.debug {
			t.Errorf("%s: logged %q", c.name, out.String())
		}
	}
	if err := f.Set("log-level", "warn"); err != nil {
		t.Fatal(err)
	}
	write("log-level: debug")
	if err := reloadLevel(least, f, none, config, "warn"); err != nil {
		t.Error(err)
	}
	out.Reset()
	if log.Debug().Msg("x"); out.Len() > 0 {
		t.Error("the file wins over the command line")
	}
}
