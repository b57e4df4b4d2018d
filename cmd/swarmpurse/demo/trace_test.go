package demo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const goodTrace = "TIMESTAMP,ContextTokens,GeneratedTokens\n" +
	"2023-11-16 18:17:03.9799600,4808,10\n" +
	"2023-11-16 18:17:04.0319600,3180,8\n" +
	"2023-11-16 18:17:08.9799600,110,27\n"

func TestTraceIsRead(t *testing.T) {
	rows, err := parseTrace("x.csv", strings.NewReader(goodTrace))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 || rows[0].prompt != 4808 || rows[2].output != 27 || rows[1].at.Sub(rows[0].at) != 52*time.Millisecond {
		t.Errorf("read %+v", rows)
	}
}

func TestTraceMayHaveOtherColumnsAndOrder(t *testing.T) {
	rows, err := parseTrace("x.csv", strings.NewReader("\ufeffGeneratedTokens,who,TIMESTAMP,ContextTokens\r\n"+
		"9,a,2024-05-10 00:00:02+00:00,20\r\n8,\"b,c\",2024-05-10T00:00:01Z,10\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[0].output != 8 || rows[1].prompt != 20 {
		t.Errorf("read %+v", rows)
	}
}

func TestWrongTracesAreRefused(t *testing.T) {
	const head = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "x.csv: the file is empty"},
		{"only a header", head, "x.csv: there is no row below the header"},
		{"a column missing", "TIMESTAMP,ContextTokens\n2023-11-16 18:17:03,1\n", "x.csv:1: the column GeneratedTokens is missing"},
		{"a column twice", "TIMESTAMP,TIMESTAMP,ContextTokens,GeneratedTokens\n", "x.csv:1: the column TIMESTAMP is there twice"},
		{"no time", head + "yesterday,1,1\n", `x.csv:2: TIMESTAMP: "yesterday" is no time`},
		{"no number", head + "2023-11-16 18:17:03,many,1\n", `x.csv:2: ContextTokens: "many" is no number of tokens from 0 to 200000`},
		{"negative", head + "2023-11-16 18:17:03,1,1\n2023-11-16 18:17:03,1,-1\n", `x.csv:3: GeneratedTokens: "-1" is no number of tokens from 0 to 200000`},
		{"too large", head + "2023-11-16 18:17:03,9223372036854775808,1\n", "is no number of tokens from 0 to 200000"},
		{"a field missing", head + "2023-11-16 18:17:03,1\n", "x.csv:2: wrong number of fields"},
		{"no CSV", head + "\"2023", "x.csv:2: extraneous or missing"},
		{"an endless line", head + strings.Repeat("9", maxTraceLine+1), "a line is longer than 65536 bytes"},
	} {
		_, err := parseTrace("x.csv", strings.NewReader(c.in))
		var te *TraceError
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &te) || te.Hint() == "" {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func TestTraceIsReplayed(t *testing.T) {
	rows, err := parseTrace("x.csv", strings.NewReader(goodTrace))
	if err != nil {
		t.Fatal(err)
	}
	calls, left := replay(rows, 10, 2, 2*time.Second)
	if len(calls) != 2 || left != 1 {
		t.Fatalf("%d calls and %d left out, want 2 and 1: the third comes after 2.5 s", len(calls), left)
	}
	if calls[1].At != 26*time.Millisecond || calls[1].Prompt != 3180 || calls[1].Output != 8 || calls[1].Limit < 8 {
		t.Errorf("the second call is %+v", calls[1])
	}
}

// The public trace lies beside the repository where the project is developed.
func TestPublicTrace(t *testing.T) {
	file := filepath.Join("..", "..", "..", "..", "shared", "traces", "AzureLLMInferenceTrace_code.csv")
	if _, err := os.Stat(file); err != nil {
		t.Skip("the public trace is not here: ", err)
	}
	o := Defaults()
	o.Trace = file
	w, err := newWorkload(&o)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Calls) != 3628 || len(w.Calls)+w.LeftOut != 8819 {
		t.Errorf("%d calls and %d left out, want the 3628 of the first 20 minutes of 8819", len(w.Calls), w.LeftOut)
	}
	prompt := int64(0)
	perAgent := make([]int, len(w.Agents))
	for _, c := range w.Calls {
		prompt += c.Prompt
		perAgent[c.Agent]++
	}
	if prompt != 7_309_910 {
		t.Errorf("%d prompt tokens, want 7309910", prompt)
	}
	for a, n := range perAgent {
		if n < 20 || n > 120 {
			t.Errorf("agent %d has %d of 3628 calls: the hash does not spread them", a, n)
		}
	}
}

func FuzzTrace(f *testing.F) {
	f.Add(goodTrace)
	f.Add("")
	f.Add("TIMESTAMP,ContextTokens,GeneratedTokens\n\"a\nb\",1,2")
	f.Add("timestamp, contexttokens ,GENERATEDTOKENS\n0001-01-01 00:00:00,0,0\n9999-12-31 23:59:59.9999999,200000,200000\n")
	f.Fuzz(func(t *testing.T, in string) {
		rows, err := parseTrace("f.csv", strings.NewReader(in))
		if err != nil {
			return
		}
		calls, left := replay(rows, 3, 20, time.Minute)
		if len(calls)+left != len(rows) || len(rows) == 0 {
			t.Fatalf("%d rows became %d calls and %d left out", len(rows), len(calls), left)
		}
		last := time.Duration(0)
		for _, c := range calls {
			if c.At < last || c.At > time.Minute || c.Agent < 0 || c.Agent > 2 || c.Prompt < 0 || c.Output < 0 || c.Limit < c.Output {
				t.Fatalf("a call %+v after %v", c, last)
			}
			last = c.At
		}
	})
}
