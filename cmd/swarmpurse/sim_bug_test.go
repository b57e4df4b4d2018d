package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/sim/plant"
)

// TestSimFindsABug: a program with a bug in its ledger (what comes twice is credited twice) is found out by its own
// soak, which tells the seed, the event, how many events a shorter run takes that fails, and the command that makes it.
// That command fails after just as many, by the same invariant; the sound program finds nothing in that run.
func TestSimFindsABug(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program")
	}
	dir := t.TempDir()
	overlay := plant.Overlay(t, filepath.Join("..", "..", "ledger", "transfer.go"), [][2]string{{"if d := t.Out - e.In; d > 0 {", "if d := t.Out; d > 0 {"}})
	build := exec.Command("go", "build", "-buildvcs=false", "-overlay", overlay, "-o", filepath.Join(dir, "swarmpurse"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the bug does not compile: %v\n%s", err, out)
	}
	sound := filepath.Join(dir, "sound")
	if err := makePlain(filepath.Join(sound, "swarmpurse")); err != nil {
		t.Fatal(err)
	}
	// run runs a command line as a user does, with this directory's program or the sound one.
	run := func(bad bool, line string) (stdout, stderr string, code int) {
		t.Helper()
		c := exec.Command("sh", "-c", line)
		from := sound
		if bad {
			from = dir
		}
		c.Env = append(os.Environ(), "PATH="+from+string(os.PathListSeparator)+os.Getenv("PATH"))
		var o, e strings.Builder
		c.Stdout, c.Stderr = &o, &e
		var exit *exec.ExitError
		if err := c.Run(); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return o.String(), e.String(), c.ProcessState.ExitCode()
	}

	_, said, code := run(true, "swarmpurse sim soak --seeds 3 --each 0 --shrink 1 --jobs 1")
	if code != exitFailed {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	told := regexp.MustCompile(`random, seed (\d+): ([^:\n]+): [^\n]*\n  event (\d+), shortest prefix: ([\d,]+) of [^\n]*\n  run it again: ([^\n]+)\n`).FindStringSubmatch(said)
	if told == nil {
		t.Fatalf("it does not say all:\n%s", said)
	}
	seed, invariant, event, prefix, command := told[1], told[2], told[3], told[4], told[5]
	if !strings.HasPrefix(command, "swarmpurse sim run random --seed "+seed+" --set ") {
		t.Errorf("to run it again: %s", command)
	}

	for line, event := range map[string]string{
		"swarmpurse sim run random --systems swarmpurse --seed " + seed: event,
		command: strings.ReplaceAll(prefix, ",", ""),
	} {
		var again struct {
			Violation struct {
				Invariant string `json:"invariant"`
				Event     uint64 `json:"event"`
			} `json:"violation"`
		}
		out, _, code := run(true, line+" --shrink=false -o json")
		if err := json.Unmarshal([]byte(out), &again); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if v := again.Violation; code != exitFailed || v.Invariant != invariant || event != strconv.FormatUint(v.Event, 10) {
			t.Errorf("%s\nends with %d, after event %d: %s; told were event %s: %s", line, code, v.Event, v.Invariant, event, invariant)
		}
	}

	var out string
	out, said, code = run(true, "swarmpurse sim run random --seed "+seed+" --systems swarmpurse")
	for _, want := range []string{"Invariant that did not hold: ", "event ", "shortest prefix ", "run it again "} {
		if code != exitFailed || !strings.Contains(out, want) {
			t.Errorf("sim run ends with %d and does not say %q:\n%s%s", code, want, out, said)
		}
	}

	if out, said, code = run(false, command); code != exitOK {
		t.Errorf("the sound program ends with %d:\n%s%s", code, out, said)
	}
}
