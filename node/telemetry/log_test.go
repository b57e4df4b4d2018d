package telemetry

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestNewLogger(t *testing.T) {
	for _, tt := range []struct {
		level, format string
		debug, json   bool
	}{
		{"debug", "json", true, true},
		{"info", "json", false, true},
		{"", "", false, true}, // not a terminal
		{"", "auto", false, true},
		{"trace", "console", true, false},
	} {
		var b bytes.Buffer
		l, _, err := NewLogger(&b, tt.level, tt.format)
		if err != nil {
			t.Errorf("%q %q: %v", tt.level, tt.format, err)
			continue
		}
		l.Debug().Msg("deep")
		l.Info().Int("n", 7).Msg("hello")
		out := b.String()
		if strings.Contains(out, "deep") != tt.debug || !strings.Contains(out, "hello") || strings.Contains(out, "\x1b") {
			t.Errorf("%q %q: %q", tt.level, tt.format, out)
		}
		if !tt.json {
			if strings.HasPrefix(out, "{") || !strings.Contains(out, "n=7") {
				t.Errorf("%q %q: %q", tt.level, tt.format, out)
			}
			continue
		}
		var line struct {
			Level, Message, Time string
			N                    int
		}
		if err := json.Unmarshal(b.Bytes()[bytes.LastIndexByte(bytes.TrimSpace(b.Bytes()), '\n')+1:], &line); err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(timeLayout, line.Time)
		if err != nil || at.IsZero() || line.Level != "info" || line.N != 7 {
			t.Errorf("%+v %v", line, err)
		}
	}
	for _, bad := range [][2]string{{"loud", "json"}, {"INFO", ""}, {"fatal", ""}, {"info", "xml"}} {
		if _, _, err := NewLogger(&bytes.Buffer{}, bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), ": use ") {
			t.Errorf("%v: %v", bad, err)
		}
	}
	f, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if isTerminal(f) {
		t.Error("a file is a terminal")
	}
}

// TestLevelChanges: also for loggers that were made of the first one before, and both ways.
func TestLevelChanges(t *testing.T) {
	var b bytes.Buffer
	l, level, err := NewLogger(&b, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	part := l.With().Str("part", "x").Logger()
	for _, step := range []struct {
		set  string
		want string
	}{{"warn", "w"}, {"debug", "dw"}, {"error", ""}, {"info", "w"}} {
		if err := level.Set(step.set); err != nil {
			t.Fatal(err)
		}
		b.Reset()
		part.Debug().Msg("d")
		part.Warn().Msg("w")
		got := ""
		for _, m := range []string{"d", "w"} {
			if strings.Contains(b.String(), `"message":"`+m+`"`) {
				got += m
			}
		}
		if got != step.want {
			t.Errorf("at level %s it writes %q, want %q", step.set, got, step.want)
		}
	}
	if err := level.Set("loud"); err == nil {
		t.Error("a level that is none")
	}
}

// TestLoggerIsSafeOnAnyWriter writes from many goroutines to a buffer that is not; run with -race.
func TestLoggerIsSafeOnAnyWriter(t *testing.T) {
	var b bytes.Buffer
	l, _, err := NewLogger(&b, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				l.Info().Msg("x")
			}
		})
	}
	wg.Wait()
	for line := range strings.Lines(b.String()) {
		if !json.Valid([]byte(line)) {
			t.Fatalf("torn line %q", line)
		}
	}
	if n := strings.Count(b.String(), "\n"); n != 400 {
		t.Errorf("%d lines", n)
	}
}

func TestStdLog(t *testing.T) {
	long := strings.Repeat("x", 3*maxLine)
	for _, tt := range []struct{ in, level, message string }{
		{"http: TLS handshake error from 127.0.0.1:5: EOF", "warn", "http: TLS handshake error from 127.0.0.1:5: EOF"},
		{"[ERR] memberlist: Failed to send ping", "error", "memberlist: Failed to send ping"},
		{"[WARN] memberlist: Refuting", "warn", "memberlist: Refuting"},
		{"[INFO] serf: EventMemberJoin: n2", "info", "serf: EventMemberJoin: n2"},
		{"[DEBUG] memberlist: Stream connection", "debug", "memberlist: Stream connection"},
		{"[NOTE] what", "warn", "[NOTE] what"},
		{"", "warn", ""},
		{long, "warn", long[:maxLine] + " ..."},
	} {
		var b bytes.Buffer
		StdLog(zerolog.New(&b)).Print(tt.in)
		var got struct{ Level, Message string }
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Level != tt.level || got.Message != tt.message {
			t.Errorf("%.60q came out as %s %.60q, want %s", tt.in, got.Level, got.Message, tt.level)
		}
	}
	// The level of the logger holds for these lines too.
	var b bytes.Buffer
	StdLog(zerolog.New(&b).Level(zerolog.WarnLevel)).Print("[DEBUG] chatter")
	if b.Len() != 0 {
		t.Errorf("%q", b.String())
	}
}
