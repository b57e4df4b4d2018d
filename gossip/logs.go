package gossip

import (
	"log"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// lines turns the log lines of serf and memberlist into zerolog events with their level.
//
// Some of these lines are the only sign that memberlist gives of a packet or stream that it threw
// away. They are counted, and only a few a minute are written: whoever can reach the port could
// otherwise fill the disk.
type lines struct {
	p   *Pool
	out zerolog.Logger

	mu     sync.Mutex
	quiet  map[reason]time.Time // guarded by mu: when the last line of a kind was written
	hidden map[reason]int       // guarded by mu: how many were not since
}

const quietFor = 10 * time.Second

func newLines(p *Pool) *lines {
	return &lines{p: p, out: p.opts.Logger, quiet: make(map[reason]time.Time), hidden: make(map[reason]int)}
}

func (l *lines) logger() *log.Logger { return log.New(l, "", 0) }

// Write takes one line, as package log hands it over.
func (l *lines) Write(b []byte) (int, error) {
	level, component, msg := parseLine(string(b))
	hidden := 0
	if r, ok := foreign(msg); ok {
		l.p.count.drop(r)
		level = zerolog.WarnLevel // somebody else's fault
		l.mu.Lock()
		now := time.Now()
		if last, seen := l.quiet[r]; seen && now.Sub(last) < quietFor {
			l.hidden[r]++
			l.mu.Unlock()
			return len(b), nil
		}
		hidden = l.hidden[r]
		l.quiet[r], l.hidden[r] = now, 0
		l.mu.Unlock()
	}
	e := l.out.WithLevel(level).Str("component", component)
	if hidden > 0 {
		e = e.Int("not_shown", hidden)
	}
	e.Msg(msg)
	return len(b), nil
}

// parseLine splits "[WARN] memberlist: text". What has no level is taken for information.
func parseLine(line string) (level zerolog.Level, component, msg string) {
	msg = strings.TrimSpace(line)
	level = zerolog.InfoLevel
	for _, p := range []struct {
		prefix string
		level  zerolog.Level
	}{
		{"[TRACE]", zerolog.TraceLevel}, {"[DEBUG]", zerolog.DebugLevel}, {"[INFO]", zerolog.InfoLevel},
		{"[WARN]", zerolog.WarnLevel}, {"[ERROR]", zerolog.ErrorLevel}, {"[ERR]", zerolog.ErrorLevel}, {"Err:", zerolog.ErrorLevel},
	} {
		if rest, ok := strings.CutPrefix(msg, p.prefix); ok {
			level, msg = p.level, strings.TrimSpace(rest)
			break
		}
	}
	component = "gossip"
	for _, c := range []string{"serf", "memberlist"} {
		if rest, ok := strings.CutPrefix(msg, c+":"); ok {
			return level, c, strings.TrimSpace(rest)
		}
	}
	return level, component, msg
}

// foreign recognises the lines by which memberlist reports traffic that is not from a peer.
// TestRandomBytes fails if an upgrade words them differently.
func foreign(msg string) (reason, bool) {
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(msg, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("with unacceptable label", "cannot decode label", "stream label header", "label header cannot"):
		return dropLabel, true
	case has("Decrypt packet failed", "no installed keys could decrypt", "encryption is configured but",
		"encryption is not configured"):
		return dropKey, true
	case has("not supported", "missing message type", "invalid msgType", "Failed to decode", "Failed to decompress",
		"invalid checksum", "failed to receive", "Failed to receive user message", "Failed to read remote state",
		"truncated messages", "unknown type", "Error decoding", "Remote state"):
		return dropGarbage, true
	}
	return 0, false
}
