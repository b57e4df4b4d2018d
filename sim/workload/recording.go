package workload

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a recorded trace.
const (
	MaxRows   = 5_000_000
	MaxTokens = 200_000 // of one prompt, or of one answer
	MaxWord   = 128     // bytes of a tenant, an agent, and so on
	maxLine   = 64 << 10
	maxSpan   = 3650 * 24 * time.Hour
)

// Recording is a recorded trace: at least one row, in order of At.
type Recording struct {
	Name  string    // the file's
	Start time.Time // of the first row
	Rows  []Row
}

// Row is one recorded call. Words are "" where the trace does not say.
type Row struct {
	At             time.Duration // after the first row
	Tenant, Agent  string
	Class, Model   string
	Node           string
	Prompt, Output int64
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
	return "a trace is a CSV file that begins: time,tenant,class,prompt,output (or time,prompt,output; agent, model and node may be added), " +
		"or TIMESTAMP,ContextTokens,GeneratedTokens; its times look like 2023-11-16 18:17:03.9799600, or are seconds"
}

// Columns of a trace. The first three must be there.
const (
	columnTime = iota
	columnPrompt
	columnOutput
	columnTenant
	columnAgent
	columnClass
	columnModel
	columnNode
	columns
)

// columnNames are ours, and those of the public Azure LLM inference traces.
var columnNames = [columns][]string{
	{"time", "TIMESTAMP"}, {"prompt", "ContextTokens"}, {"output", "GeneratedTokens"},
	{"tenant"}, {"agent"}, {"class"}, {"model"}, {"node"},
}

// ReadRecording reads a whole trace. name is only for errors, which are *TraceError. Other columns are ignored.
// Rows may come in any order.
func ReadRecording(name string, in io.Reader) (*Recording, error) {
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
		return nil, readError(wrong, err)
	}
	at, names, err := readHeader(wrong, header)
	if err != nil {
		return nil, err
	}
	var times []time.Time
	rec := &Recording{Name: name}
	words, clock := map[string]string{}, clock{}
	for {
		fields, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, readError(wrong, err)
		}
		line, _ := r.FieldPos(0)
		if len(rec.Rows) == MaxRows {
			return nil, wrong(line, "there are more than %d rows, which is the most that is read", MaxRows)
		}
		t, err := clock.read(fields[at[columnTime]])
		if err != nil {
			return nil, wrong(line, "%s: %v", names[columnTime], err)
		}
		var row Row
		if row.Prompt, err = tokens(fields[at[columnPrompt]]); err != nil {
			return nil, wrong(line, "%s: %v", names[columnPrompt], err)
		}
		if row.Output, err = tokens(fields[at[columnOutput]]); err != nil {
			return nil, wrong(line, "%s: %v", names[columnOutput], err)
		}
		for c, into := range [columns]*string{columnTenant: &row.Tenant, columnAgent: &row.Agent, columnClass: &row.Class,
			columnModel: &row.Model, columnNode: &row.Node} {
			if into == nil || at[c] < 0 {
				continue
			}
			if *into, err = word(words, fields[at[c]]); err != nil {
				return nil, wrong(line, "%s: %v", names[c], err)
			}
		}
		times, rec.Rows = append(times, t), append(rec.Rows, row)
	}
	if len(rec.Rows) == 0 {
		return nil, wrong(0, "there is no row below the header")
	}
	first, last := slices.MinFunc(times, time.Time.Compare), slices.MaxFunc(times, time.Time.Compare)
	if span := last.Sub(first); span > maxSpan { // Sub saturates
		return nil, wrong(0, "its times are from %s to %s, which is more than ten years: is one of them wrong?",
			first.Format(time.DateTime), last.Format(time.DateTime))
	}
	rec.Start = first
	for i := range rec.Rows {
		rec.Rows[i].At = times[i].Sub(first)
	}
	slices.SortStableFunc(rec.Rows, func(a, b Row) int { return cmp.Compare(a.At, b.At) })
	return rec, nil
}

// readError tells of what the CSV reader, or what it reads from, said.
func readError(wrong func(int, string, ...any) error, err error) error {
	var pe *csv.ParseError
	if errors.As(err, &pe) {
		return wrong(pe.Line, "%v", pe.Err)
	}
	return wrong(0, "%v", err)
}

// readHeader finds the columns; -1 stands for one that is not there. names are what the header calls them.
func readHeader(wrong func(int, string, ...any) error, header []string) (at [columns]int, names [columns]string, err error) {
	family := 0 // whose names to use for what is missing
	for c := range at {
		at[c] = -1
	}
	for i, h := range header {
		h = strings.TrimSpace(strings.TrimPrefix(h, "\ufeff"))
		for c := range at {
			for k, name := range columnNames[c] {
				if !strings.EqualFold(h, name) {
					continue
				}
				if at[c] >= 0 {
					return at, names, wrong(1, "the column %s is there twice", name)
				}
				at[c], names[c], family = i, name, max(family, k)
			}
		}
	}
	for c := columnTime; c <= columnOutput; c++ {
		if at[c] < 0 {
			return at, names, wrong(1, "the column %s is missing", columnNames[c][family])
		}
	}
	return at, names, nil
}

// clock reads times: of a day, or seconds from any moment on, but one or the other.
type clock struct {
	seconds, known bool
}

func (c *clock) read(s string) (time.Time, error) {
	if len(s) > MaxWord {
		return time.Time{}, fmt.Errorf("%d bytes are too long for a time", len(s))
	}
	s = strings.TrimSpace(s)
	t, err := parseTime(s)
	seconds := err != nil
	if seconds {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || !(x >= 0 && x < maxSeconds) {
			return time.Time{}, fmt.Errorf("%q is no time", s)
		}
		whole := math.Floor(x)
		t = time.Unix(int64(whole), int64((x-whole)*1e9)).UTC()
	}
	if c.known && c.seconds != seconds {
		return time.Time{}, fmt.Errorf("%q is written another way than the times before it: write all as seconds, or none", s)
	}
	c.seconds, c.known = seconds, true
	return t, nil
}

// maxSeconds is above Unix times in seconds until the year 5138, and below those in milliseconds since 1973.
const maxSeconds = 1e11

func parseTime(s string) (t time.Time, err error) {
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", time.RFC3339, "2006-01-02T15:04:05"} { // with fractions, too
		if t, err = time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return t, err
}

func tokens(s string) (int64, error) {
	if len(s) > MaxWord {
		return 0, fmt.Errorf("%d bytes are too long for a number of tokens", len(s))
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 || n > MaxTokens {
		return 0, fmt.Errorf("%q is no number of tokens from 0 to %d", s, MaxTokens)
	}
	return n, nil
}

// word reads a name. Each is kept once, however many rows have it.
func word(known map[string]string, s string) (string, error) {
	s = strings.TrimSpace(s)
	if w, ok := known[s]; ok {
		return w, nil
	}
	switch {
	case len(s) > MaxWord:
		return "", fmt.Errorf("a name of %d bytes is too long, at most %d are allowed", len(s), MaxWord)
	case !utf8.ValidString(s):
		return "", errors.New("a name is not UTF-8 text")
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", fmt.Errorf("the name %q has a control character", s)
	}
	w := strings.Clone(s)
	known[w] = w
	return w, nil
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
		if l.n > maxLine {
			return 0, fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
		if i >= 0 {
			l.n = 0
		}
	}
	return n, err
}
