package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// buildInfo says what was built, from what the Go tool stamps into the binary.
type buildInfo struct {
	Version  string `json:"version"` // a module version, or "devel"
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"` // of the commit
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// version is for packagers, who build without version control: -ldflags "-X main.version=v1.2.3".
var version string

func readBuildInfo() buildInfo {
	b := buildInfo{Version: "devel", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	if version != "" {
		b.Version = version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// short is the version in one word, as nodes tell each other.
func (b buildInfo) short() string {
	if b.Version != "devel" || b.Commit == "" {
		return b.Version
	}
	return "devel-" + b.Commit[:min(12, len(b.Commit))]
}

func newVersionCommand(a *app) *cobra.Command {
	return a.withOutput(&cobra.Command{
		Use:   "version",
		Short: "Show what was built",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := readBuildInfo()
			return a.print(b, func(w *strings.Builder) {
				fmt.Fprintf(w, "swarmpurse %s", b.short())
				if b.Modified {
					w.WriteString(" (modified)")
				}
				fmt.Fprintf(w, " %s %s/%s\n", b.Go, b.OS, b.Arch)
			})
		},
	})
}
