package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestConfigOrder: every flag of a node goes before its variable, that before the file, that before the default; a list replaces, it adds nothing.
func TestConfigOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node.yaml")
	flags := 0
	nodeFlags().VisitAll(func(fl *pflag.Flag) {
		if fl.Name == "config" || fl.Name == "help" {
			return
		}
		flags++
		values := map[string][3]string{
			"string": {"flag:1", "env:1", "file:1"}, "int": {"11", "22", "33"}, "duration": {"11s", "22s", "33s"},
			"stringSlice": {"flag:1", "env:1,env:2", "[file:1, file:2]"}, "stringArray": {"a=flag", "a=env,b=env", "[a=file]"},
		}[fl.Value.Type()]
		if fl.Value.Type() == "bool" {
			values = [3]string{"false", "true", "true"} // each other than what it goes before
			if fl.DefValue != "false" {
				t.Fatalf("--%s: a flag that is on is not foreseen here", fl.Name)
			}
		}
		if values[0] == "" {
			t.Fatalf("--%s is of a kind that is not foreseen here: %s", fl.Name, fl.Value.Type())
		}
		in := func(s string) string { // as a flag shows it
			if _, ok := fl.Value.(pflag.SliceValue); ok {
				return "[" + strings.NewReplacer("[", "", "]", "", " ", "").Replace(s) + "]"
			}
			return s
		}
		for _, c := range []struct {
			name            string
			flag, env, file bool
			want            string
		}{
			{"the default", false, false, false, fl.DefValue},
			{"the file", false, false, true, in(values[2])},
			{"the environment", false, true, false, in(values[1])},
			{"the environment before the file", false, true, true, in(values[1])},
			{"the flag", true, false, false, in(values[0])},
			{"the flag before the environment", true, true, false, in(values[0])},
			{"the flag before the file", true, false, true, in(values[0])},
			{"the flag before both", true, true, true, in(values[0])},
		} {
			f, config, text := nodeFlags(), "", "{}"
			if c.flag {
				if err := f.Parse([]string{"--" + fl.Name + "=" + values[0]}); err != nil {
					t.Fatal(err)
				}
			}
			if c.file {
				text = fmt.Sprintf("%s: %s\n", fl.Name, values[2])
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			env := map[string]string{"SWARMPURSE_CONFIG": file}
			if c.env {
				env[envName(fl.Name)] = values[1]
			}
			if err := settle(f, func(name string) string { return env[name] }, &config); err != nil {
				t.Errorf("--%s, %s: %v", fl.Name, c.name, err)
				continue
			}
			if got := f.Lookup(fl.Name).Value.String(); got != c.want {
				t.Errorf("--%s, %s: %s, want %s", fl.Name, c.name, got, c.want)
			}
		}
	})
	if flags < 20 {
		t.Errorf("only %d flags were found", flags)
	}
}

// TestConfigNamesItself: --config goes before its variable.
func TestConfigNamesItself(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"flag", "env"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("zone: "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := nodeFlags()
	config := filepath.Join(dir, "flag")
	if err := f.Set("config", config); err != nil {
		t.Fatal(err)
	}
	if err := settle(f, func(name string) string {
		return map[string]string{"SWARMPURSE_CONFIG": filepath.Join(dir, "env")}[name]
	}, &config); err != nil || f.Lookup("zone").Value.String() != "flag" {
		t.Error(err, f.Lookup("zone").Value)
	}
}
