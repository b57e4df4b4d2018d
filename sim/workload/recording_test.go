package workload

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

func read(t *testing.T, src string) *Recording {
	t.Helper()
	rec, err := ReadRecording("x.csv", strings.NewReader(src))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestAzureTraceIsRead(t *testing.T) {
	rows := read(t, goodTrace).Rows
	want := []Row{{Prompt: 4808, Output: 10}, {At: 52 * time.Millisecond, Prompt: 3180, Output: 8}, {At: 5 * time.Second, Prompt: 110, Output: 27}}
	if len(rows) != 3 || rows[0] != want[0] || rows[1] != want[1] || rows[2] != want[2] {
		t.Errorf("read %+v", rows)
	}
}

func TestGeneralTraceIsRead(t *testing.T) {
	for _, times := range [][2]string{{"2024-05-10T00:00:01Z", "2024-05-10T00:00:02.5Z"}, {"2024-05-10 01:00:01+01:00", "2024-05-10 00:00:02.500+00:00"},
		{"2024-05-10T00:00:01", "2024-05-10 00:00:02.5"}, {"1", "2.5"}, {"1715299201", "1715299202.5"}} {
		rows := read(t, "time, tenant ,class,prompt,output,agent,model,node\n"+
			times[0]+",search,batch,10,20,s/1,gpt-4o,n1\n"+
			times[1]+",,,1,2,,,\n").Rows
		first := Row{Tenant: "search", Class: "batch", Prompt: 10, Output: 20, Agent: "s/1", Model: "gpt-4o", Node: "n1"}
		second := Row{At: 1500 * time.Millisecond, Prompt: 1, Output: 2}
		if len(rows) != 2 || rows[0] != first || rows[1] != second {
			t.Errorf("%v: read %+v", times, rows)
		}
	}
}

func TestTraceMayHaveOtherColumnsAndOrder(t *testing.T) {
	rows := read(t, "\ufeffGeneratedTokens,who,TIMESTAMP,ContextTokens\r\n"+
		"9,a,2024-05-10 00:00:02+00:00,20\r\n8,\"b,c\",2024-05-10T00:00:01Z,10\r\n").Rows
	if len(rows) != 2 || rows[0].Output != 8 || rows[1].Prompt != 20 || rows[1].At != time.Second {
		t.Errorf("read %+v", rows)
	}
}

func TestWrongTracesAreRefused(t *testing.T) {
	const head, ours = "TIMESTAMP,ContextTokens,GeneratedTokens\n", "time,prompt,output,tenant\n"
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "x.csv: the file is empty"},
		{"only a header", head, "x.csv: there is no row below the header"},
		{"a column missing", "TIMESTAMP,ContextTokens\n2023-11-16 18:17:03,1\n", "x.csv:1: the column GeneratedTokens is missing"},
		{"one of ours missing", "time,output\n", "x.csv:1: the column prompt is missing"},
		{"a column twice", "TIMESTAMP,TIMESTAMP,ContextTokens,GeneratedTokens\n", "x.csv:1: the column TIMESTAMP is there twice"},
		{"a column twice by two names", "TIMESTAMP,ContextTokens,GeneratedTokens,prompt\n", "x.csv:1: the column prompt is there twice"},
		{"no time", head + "yesterday,1,1\n", `x.csv:2: TIMESTAMP: "yesterday" is no time`},
		{"endless seconds", ours + "Inf,1,1,a\n", `x.csv:2: time: "Inf" is no time`},
		{"seconds that are none", ours + "NaN,1,1,a\n", `x.csv:2: time: "NaN" is no time`},
		{"two sorts of time", ours + "1,1,1,a\n2024-01-01 00:00:00,1,1,a\n", `x.csv:3: time: "2024-01-01 00:00:00" is written another way than the times before it`},
		{"two centuries", head + "1900-01-01 00:00:00,1,1\n2024-01-01 00:00:00,1,1\n", "x.csv: its times are from 1900-01-01 00:00:00 to 2024-01-01 00:00:00, which is more than ten years"},
		{"no number", head + "2023-11-16 18:17:03,many,1\n", `x.csv:2: ContextTokens: "many" is no number of tokens from 0 to 200000`},
		{"negative", head + "2023-11-16 18:17:03,1,1\n2023-11-16 18:17:03,1,-1\n", `x.csv:3: GeneratedTokens: "-1" is no number of tokens from 0 to 200000`},
		{"too large", head + "2023-11-16 18:17:03,9223372036854775808,1\n", "is no number of tokens from 0 to 200000"},
		{"a long name", ours + "1,1,1," + strings.Repeat("a", 129) + "\n", "x.csv:2: tenant: a name of 129 bytes is too long, at most 128 are allowed"},
		{"a name that rings", ours + "1,1,1,a\ab\n", `x.csv:2: tenant: the name "a\ab" has a control character`},
		{"a name that is no text", ours + "1,1,1,a\xff\n", "x.csv:2: tenant: a name is not UTF-8 text"},
		{"a field missing", head + "2023-11-16 18:17:03,1\n", "x.csv:2: wrong number of fields"},
		{"no CSV", head + "\"2023", "x.csv:2: extraneous or missing"},
		{"an endless line", head + strings.Repeat("9", maxLine+1), "a line is longer than 65536 bytes"},
	} {
		_, err := ReadRecording("x.csv", strings.NewReader(c.in))
		var te *TraceError
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &te) || te.Hint() == "" {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// The public trace lies beside the repository where the project is developed.
func TestPublicTrace(t *testing.T) {
	file := filepath.Join("..", "..", "..", "shared", "traces", "AzureLLMInferenceTrace_code.csv")
	f, err := os.Open(file)
	if err != nil {
		t.Skip("the public trace is not here: ", err)
	}
	defer f.Close()
	rec, err := ReadRecording(file, f)
	if err != nil {
		t.Fatal(err)
	}
	prompt, output := int64(0), int64(0)
	for _, row := range rec.Rows {
		prompt, output = prompt+row.Prompt, output+row.Output
	}
	if len(rec.Rows) != 8819 || prompt != 18_059_974 || output != 245_896 {
		t.Errorf("%d rows with %d prompt and %d output tokens, want 8819 with 18059974 and 245896", len(rec.Rows), prompt, output)
	}
}

func FuzzRecording(f *testing.F) {
	f.Add(goodTrace)
	f.Add("")
	f.Add("TIMESTAMP,ContextTokens,GeneratedTokens\n\"a\nb\",1,2")
	f.Add("timestamp, contexttokens ,GENERATEDTOKENS\n2001-01-01 00:00:00,0,0\n2009-12-31 23:59:59.9999999,200000,200000\n")
	f.Add("time,tenant,class,prompt,output,agent,model,node\n1.5,a,b,1,2,c,d,e\n0,,,0,0,,,\n")
	f.Fuzz(func(t *testing.T, in string) {
		rec, err := ReadRecording("f.csv", strings.NewReader(in))
		if err != nil {
			var te *TraceError
			if !errors.As(err, &te) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		last := time.Duration(0)
		for _, row := range rec.Rows {
			if row.At < last || row.At > maxSpan || min(row.Prompt, row.Output) < 0 || max(row.Prompt, row.Output) > MaxTokens {
				t.Fatalf("a row %+v after %v", row, last)
			}
			last = row.At
		}
		src, err := New(Config{
			Streams: []Stream{{Name: "t", Kind: Trace, Trace: "f", Repeats: true, Scale: 1.5}}, Zones: []string{"", "", ""},
			Duration: time.Minute, Traces: map[string]*Recording{"f": rec},
		})
		if err != nil {
			t.Fatal(err)
		}
		at := Call{}.At
		for range 1000 {
			c, ok := src.Next()
			if !ok {
				break
			}
			if c.At < at || c.At >= 60_000 || c.Node < 0 || c.Node > 2 || c.Output > c.Max {
				t.Fatalf("a call %+v after %d", c, at)
			}
			at = c.At
		}
	})
}
