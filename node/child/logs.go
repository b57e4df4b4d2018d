package child

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

const (
	logTail     = 256 << 10 // bytes of a log that are read from its end
	shownLines  = 12        // of them shown
	maxLineShow = 400       // bytes of each
)

// crash is how Go's last words begin: of a panic, of the runtime, of a deadly signal.
var crash = regexp.MustCompile(`^(panic: |fatal error: |SIG[A-Z]+: )`)

// Tail returns the last lines of a log, fit to be shown. A panic is shown from where it begins.
func Tail(file string) []string {
	f, err := os.Open(file)
	if err != nil {
		return []string{err.Error()}
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > logTail {
		_, _ = f.Seek(st.Size()-logTail, io.SeekStart) // or else all of it is read
	}
	var lines []string
	in := bufio.NewScanner(io.LimitReader(f, logTail))
	in.Buffer(nil, logTail)
	begin := -1
	for in.Scan() {
		line := in.Text()
		if begin < 0 && crash.MatchString(line) {
			begin = len(lines)
		}
		lines = append(lines, plainLine(line))
	}
	if begin >= 0 {
		lines = lines[begin:]
		return lines[:min(len(lines), 2*shownLines)]
	}
	return lines[max(0, len(lines)-shownLines):]
}

// plainLine shortens a line, and turns a node's JSON into "level: message key=value".
func plainLine(line string) string {
	var m map[string]any
	if json.Unmarshal([]byte(line), &m) == nil {
		s := fmt.Sprintf("%v: %v", m["level"], m["message"])
		for _, k := range []string{"error", "part", "peer", "budget", "instance"} {
			if v, ok := m[k]; ok {
				s += fmt.Sprintf(" %s=%v", k, v)
			}
		}
		line = s
	}
	if len(line) > maxLineShow {
		line = line[:maxLineShow] + " …"
	}
	return Printable(line)
}

// Complaints returns the errors that a node logged, at most a few, and how many there were. Those of some parts are
// passed over.
func Complaints(file string, but ...string) (first []string, n int) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var m struct {
			Level string `json:"level"`
			Part  string `json:"part"`
		}
		if json.Unmarshal(in.Bytes(), &m) != nil || slices.Contains(but, m.Part) {
			continue
		}
		if m.Level == "error" || m.Level == "fatal" || m.Level == "panic" {
			if n++; len(first) < 3 {
				first = append(first, plainLine(in.Text()))
			}
		}
	}
	return first, n
}

// Printable makes text from elsewhere fit for a terminal and a report: one line, no control characters.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
