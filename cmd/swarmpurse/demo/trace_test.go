package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/workload"
)

const goodTrace = "TIMESTAMP,ContextTokens,GeneratedTokens\n" +
	"2023-11-16 18:17:03.9799600,4808,10\n" +
	"2023-11-16 18:17:04.0319600,3180,8\n" +
	"2023-11-16 18:17:08.9799600,110,27\n"

func TestTraceIsReplayed(t *testing.T) {
	rec, err := workload.ReadRecording("x.csv", strings.NewReader(goodTrace))
	if err != nil {
		t.Fatal(err)
	}
	calls, left := replay(rec, 10, 2, 2*time.Second)
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
