package workload

import (
	"bytes"
	_ "embed"
	"fmt"
	"sync"
)

// AzureSample names the trace that ships.
const AzureSample = "azure-sample"

// The sample is synthetic: sample_test.go makes it from a seed, with the columns and about the statistics of the
// public Azure LLM inference trace of 2023 (code), which is not part of it.
//
//go:embed azure-sample.csv
var azureSample []byte

// Sample is the trace that ships, AzureSample. The caller must not change it.
var Sample = sync.OnceValue(func() *Recording {
	rec, err := ReadRecording(AzureSample, bytes.NewReader(azureSample))
	if err != nil {
		panic(fmt.Sprintf("BUG: the sample trace: %v", err))
	}
	return rec
})
