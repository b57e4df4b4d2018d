package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// Whatever is wrong with the command line or its files is told before any process is started.
func TestDemoCommandLine(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--nodes 0", exitUsage, "0 nodes: choose from 1 to 100"},
		{"--agents many", exitUsage, `invalid argument "many"`},
		{"--duration 1s", exitUsage, "a duration of 1s: choose from 2s to 1h0m0s"},
		{"--rate -1", exitUsage, "a rate of -1 calls per agent and second"},
		{"--cut -1s", exitUsage, "a cut of -1s"},
		{"now", exitUsage, "unknown command"},
		{"--trace no-such.csv", exitFailed, "open no-such.csv"},
		{"--policy no-such.yaml", exitFailed, "no-such.yaml"},
		{"--trace demo_test.go", exitFailed, "hint: a trace is a CSV file that begins: time,tenant,class,prompt,output"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), append([]string{"demo"}, strings.Fields(c.args)...), strings.NewReader(""), &stdout, &stderr)
		if code != c.code || stdout.Len() > 0 || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("demo %s: exit code %d, want %d; stdout %q, stderr %q, want %q", c.args, code, c.code, stdout.String(), stderr.String(), c.want)
		}
	}
}
