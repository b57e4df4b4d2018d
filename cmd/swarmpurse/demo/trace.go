package demo

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The columns of the public Azure LLM inference traces.
const (
	columnTime   = "TIMESTAMP"
	columnPrompt = "ContextTokens"
	columnOutput = "GeneratedTokens"
)

const (
	maxTraceRows   = 5_000_000
	maxTraceTokens = 200_000 // of one prompt, or of one answer
	maxTraceField  = 128     // bytes
	maxTraceLine   = 64 << 10
)

// traceRow is one request of a recorded trace.
type traceRow struct {
	at             time.Time
	prompt, output int64
}

// TraceError says what is wrong with a trace, and where.
type TraceError struct {
	File string
	Line int // 0: the file as a whole
	What string
}

func (e *TraceError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.What)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What)
}

// Hint tells what a trace looks like.
func (e *TraceError) Hint() string {
	return "a trace is a CSV file that begins: " + columnTime + "," + columnPrompt + "," + columnOutput +
		"; its times look like 2023-11-16 18:17:03.9799600"
}

func readTrace(file string) ([]traceRow, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseTrace(file, f)
}

// parseTrace reads a whole trace. Other columns are ignored. Rows may come in any order and are
// returned by time.
func parseTrace(name string, in io.Reader) ([]traceRow, error) {
	wrong := func(line int, format string, args ...any) error {
		return &TraceError{name, line, fmt.Sprintf(format, args...)}
	}
	r := csv.NewReader(&lineLimit{in: in})
	r.ReuseRecord = true
	header, err := r.Read()
	if err == io.EOF {
		return nil, wrong(0, "the file is empty")
	}
	if err != nil {
		return nil, wrong(0, "%v", err)
	}
	at := [3]int{-1, -1, -1}
	for i, h := range header {
		h = strings.TrimPrefix(h, "\ufeff")
		for k, want := range [3]string{columnTime, columnPrompt, columnOutput} {
			if strings.EqualFold(strings.TrimSpace(h), want) {
				if at[k] >= 0 {
					return nil, wrong(1, "the column %s is there twice", want)
				}
				at[k] = i
			}
		}
	}
	for k, want := range [3]string{columnTime, columnPrompt, columnOutput} {
		if at[k] < 0 {
			return nil, wrong(1, "the column %s is missing", want)
		}
	}
	var rows []traceRow
	for {
		rec, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			var pe *csv.ParseError
			if errors.As(err, &pe) {
				return nil, wrong(pe.Line, "%v", pe.Err)
			}
			return nil, wrong(0, "%v", err)
		}
		line, _ := r.FieldPos(0)
		if len(rows) == maxTraceRows {
			return nil, wrong(line, "there are more than %d rows, which is the most that is read", maxTraceRows)
		}
		var row traceRow
		if row.at, err = traceTime(rec[at[0]]); err != nil {
			return nil, wrong(line, "%s: %v", columnTime, err)
		}
		if row.prompt, err = traceTokens(rec[at[1]]); err != nil {
			return nil, wrong(line, "%s: %v", columnPrompt, err)
		}
		if row.output, err = traceTokens(rec[at[2]]); err != nil {
			return nil, wrong(line, "%s: %v", columnOutput, err)
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, wrong(0, "there is no row below the header")
	}
	slices.SortStableFunc(rows, func(a, b traceRow) int { return a.at.Compare(b.at) })
	return rows, nil
}

func traceTime(s string) (time.Time, error) {
	if len(s) > maxTraceField {
		return time.Time{}, fmt.Errorf("%d bytes are too long for a time", len(s))
	}
	s = strings.TrimSpace(s)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", time.RFC3339} { // with fractions, too
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", s)
}

func traceTokens(s string) (int64, error) {
	if len(s) > maxTraceField {
		return 0, fmt.Errorf("%d bytes are too long for a number of tokens", len(s))
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 || n > maxTraceTokens {
		return 0, fmt.Errorf("%q is no number of tokens from 0 to %d", s, maxTraceTokens)
	}
	return n, nil
}

// lineLimit fails on lines that no trace has, so that a wrong file is not read into memory as one.
type lineLimit struct {
	in io.Reader
	n  int // bytes since the last line end
}

func (l *lineLimit) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			l.n += len(rest)
			rest = nil
		} else {
			l.n += i
			rest = rest[i+1:]
		}
		if l.n > maxTraceLine {
			return 0, fmt.Errorf("a line is longer than %d bytes", maxTraceLine)
		}
		if i >= 0 {
			l.n = 0
		}
	}
	return n, err
}

// replay turns a trace into calls: what falls within the length at that speed, and how many do not.
// A trace does not say who called, so a hash of the row's number and time chooses the agent.
func replay(rows []traceRow, agents int, speed float64, length time.Duration) (calls []Call, left int) {
	first := rows[0].at
	for i, row := range rows {
		at := row.at.Sub(first).Seconds() / speed
		if at >= length.Seconds() {
			return calls, len(rows) - i
		}
		h := fnv.New64a()
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], uint64(i))
		binary.LittleEndian.PutUint64(b[8:], uint64(row.at.UnixNano()))
		h.Write(b[:])
		x := mix(h.Sum64())
		calls = append(calls, Call{
			At: time.Duration(at * float64(time.Second)), Agent: int(x % uint64(agents)),
			Prompt: row.prompt, Output: row.output, Limit: guess(row.output),
			Stream: float64(x>>40)/(1<<24) < streamed,
		})
	}
	return calls, 0
}

// mix spreads FNV's weak low bits (the finalizer of SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
