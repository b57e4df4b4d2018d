package telemetry

import (
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// Level is the least level that a logger writes. It may change while the logger is in use.
type Level struct{ least atomic.Int32 }

// Set changes the level to one of trace, debug, info, warn, error; "" is info.
func (l *Level) Set(level string) error {
	least := zerolog.InfoLevel
	switch level {
	case "trace", "debug", "info", "warn", "error":
		least, _ = zerolog.ParseLevel(level)
	case "":
	default:
		return fmt.Errorf("unknown log level %.40q: use trace, debug, info, warn or error", level)
	}
	l.least.Store(int32(least))
	return nil
}

// Sample makes a Level a [zerolog.Sampler], which is asked before an event is made.
func (l *Level) Sample(at zerolog.Level) bool { return int32(at) >= l.least.Load() }

// NewLogger makes the node's logger on w. level is one of trace, debug, info, warn, error. format is json
// (one object a line), console (for people), or auto: console if w is a terminal, json otherwise. Both may
// be "", which is info and auto. The logger is safe for concurrent use, whatever w is, and so is its Level.
func NewLogger(w io.Writer, level, format string) (zerolog.Logger, *Level, error) {
	lvl := &Level{}
	if err := lvl.Set(level); err != nil {
		return zerolog.Nop(), nil, err
	}
	tty := isTerminal(w)
	switch format {
	case "", "auto":
		if tty {
			w = console(w, tty)
		}
	case "console":
		w = console(w, tty)
	case "json":
	default:
		return zerolog.Nop(), nil, fmt.Errorf("unknown log format %.40q: use json, console or auto", format)
	}
	// zerolog's own Timestamp takes its layout from a global.
	stamp := zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format(timeLayout))
	})
	return zerolog.New(zerolog.SyncWriter(w)).Sample(lvl).Hook(stamp), lvl, nil
}

func console(w io.Writer, tty bool) io.Writer {
	return zerolog.ConsoleWriter{Out: w, NoColor: !tty || os.Getenv("NO_COLOR") != "", TimeFormat: "15:04:05.000", TimeLocation: time.Local}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// maxLine bounds a line that a library logs, in bytes; the rest is cut.
const maxLine = 4096

// StdLog makes a log.Logger whose lines become events of l, for net/http's ErrorLog and for libraries that
// want one. A line that starts with [DEBUG], [INFO], [WARN] or [ERR], as serf's and memberlist's do, has
// that level; any other is a warning.
func StdLog(l zerolog.Logger) *log.Logger { return log.New(lineWriter{l}, "", 0) }

type lineWriter struct{ l zerolog.Logger }

var lineLevels = []struct {
	tag   string
	level zerolog.Level
}{
	{"[TRACE]", zerolog.TraceLevel},
	{"[DEBUG]", zerolog.DebugLevel},
	{"[INFO]", zerolog.InfoLevel},
	{"[WARN]", zerolog.WarnLevel},
	{"[ERR]", zerolog.ErrorLevel},
	{"[ERROR]", zerolog.ErrorLevel},
}

// Write takes one line, which is how package log calls it.
func (w lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	cut := ""
	if len(p) > maxLine {
		p, cut = p[:maxLine], " ..."
	}
	line := strings.TrimRight(string(p), "\r\n")
	level := zerolog.WarnLevel
	for _, t := range lineLevels {
		if rest, ok := strings.CutPrefix(line, t.tag); ok {
			line, level = strings.TrimLeft(rest, " "), t.level
			break
		}
	}
	w.l.WithLevel(level).Msg(line + cut)
	return n, nil
}
