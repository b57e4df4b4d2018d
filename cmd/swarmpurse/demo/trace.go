package demo

import (
	"encoding/binary"
	"hash/fnv"
	"os"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/workload"
)

func readTrace(file string) (*workload.Recording, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return workload.ReadRecording(file, f)
}

// replay turns a trace into calls: what falls within the length at that speed, and how many do not.
// The demo's agents are its own, whoever called in the trace: a hash of the row's number and time chooses the agent.
func replay(rec *workload.Recording, agents int, speed float64, length time.Duration) (calls []Call, left int) {
	for i, row := range rec.Rows {
		at := row.At.Seconds() / speed
		if at >= length.Seconds() {
			return calls, len(rec.Rows) - i
		}
		h := fnv.New64a()
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], uint64(i))
		binary.LittleEndian.PutUint64(b[8:], uint64(rec.Start.Add(row.At).UnixNano()))
		h.Write(b[:])
		x := mix(h.Sum64())
		calls = append(calls, Call{
			At: time.Duration(at * float64(time.Second)), Agent: int(x % uint64(agents)),
			Prompt: row.Prompt, Output: row.Output, Limit: workload.Guess(row.Output),
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
