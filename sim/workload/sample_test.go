package workload

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// makeSample draws ten minutes like those of the public Azure trace of 2023 (code): calm times of about a call per
// second and surges of twenty, prompts with a median of 1,500 and a cut at 7,437, and short answers.
func makeSample() []byte {
	r := dice(2023, "azure-sample", 0)
	s := Stream{Kind: Bursty, Rate: 2.6, Burst: Burst{High: 8, On: 3 * time.Second, Off: 30 * time.Second}}
	times := newArrivals(&s, r, 600)
	var out bytes.Buffer
	out.WriteString("TIMESTAMP,ContextTokens,GeneratedTokens\n")
	start := time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)
	for {
		at, ok := times.next()
		if !ok {
			return out.Bytes()
		}
		prompt := min(Size{1500, 9000}.Draw(r), 7437)
		output := min(Size{14, 250}.Draw(r), 1900)
		t := start.Add(time.Duration(math.Round(at*1000)) * time.Millisecond)
		fmt.Fprintf(&out, "%s,%d,%d\n", t.Format("2006-01-02 15:04:05.0000000"), prompt, output)
	}
}

func TestSampleIsCurrent(t *testing.T) {
	if *update {
		if err := os.WriteFile("azure-sample.csv", makeSample(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(azureSample, makeSample()) {
		t.Error("azure-sample.csv is out of date: run go test -run Sample -update ./sim/workload")
	}
}

func TestSampleIsLikeTheTrace(t *testing.T) {
	rows := Sample().Rows
	if n := len(rows); n < 1300 || n > 1900 {
		t.Errorf("%d rows, want about 1560", n)
	}
	perSecond := make([]float64, 600)
	for _, row := range rows {
		perSecond[int(row.At/time.Second)]++
	}
	// The public trace's index of dispersion in windows of one second is 13.
	if d := dispersion(perSecond); d < 5 || d > 20 {
		t.Errorf("index of dispersion %.1f, want about 13", d)
	}
}

// dispersion is the variance of counts beside their mean: 1 for a Poisson process.
func dispersion(counts []float64) float64 {
	mean, variance := 0.0, 0.0
	for _, n := range counts {
		mean += n / float64(len(counts))
	}
	for _, n := range counts {
		variance += (n - mean) * (n - mean) / float64(len(counts))
	}
	return variance / mean
}
