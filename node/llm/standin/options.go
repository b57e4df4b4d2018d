package standin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/swarmpurse/swarmpurse/node/llm"
)

// Options configures a Server. The zero value answers at once.
type Options struct {
	// TokensPerSecond is the speed of one choice; 0 is as fast as it goes.
	TokensPerSecond float64
	// FirstToken is the time until the first token.
	FirstToken time.Duration
	// ChunkEvery is the least time between two chunks of a stream when the speed is bounded, so that
	// thousands of tokens a second do not need thousands of timers. Default 20 ms.
	ChunkEvery time.Duration
	// TokensPerChunk is how many tokens a chunk has when the speed is not bounded. Default 1.
	TokensPerChunk int

	// DefaultOutput is how many tokens an answer has when the request does not say. Default 64.
	DefaultOutput int64

	// ErrorRate is the part of calls, 0 to 1, that fail with ErrorStatus (default 500), drawn from Seed.
	ErrorRate   float64
	ErrorStatus int
	Seed        uint64

	// MaxConcurrent bounds the calls at once; more get a 429. Default 4096.
	MaxConcurrent int

	// Models are listed at /v1/models; any name is served. Default: standin-1.
	Models []string

	// Counter counts prompts. Default: llm.NewCounter().
	Counter *llm.Counter
}

func (o *Options) complete() error {
	switch {
	case o.TokensPerSecond < 0 || o.TokensPerSecond != o.TokensPerSecond:
		return fmt.Errorf("standin: TokensPerSecond is %g: it must not be negative", o.TokensPerSecond)
	case o.FirstToken < 0 || o.ChunkEvery < 0 || o.TokensPerChunk < 0 || o.DefaultOutput < 0 || o.MaxConcurrent < 0:
		return fmt.Errorf("standin: FirstToken, ChunkEvery, TokensPerChunk, DefaultOutput and MaxConcurrent must not be negative")
	case !(o.ErrorRate >= 0 && o.ErrorRate <= 1):
		return fmt.Errorf("standin: ErrorRate is %g: it must lie between 0 and 1", o.ErrorRate)
	case o.ErrorStatus != 0 && !errorStatus(o.ErrorStatus):
		return fmt.Errorf("standin: ErrorStatus is %d: it must lie between 400 and 599", o.ErrorStatus)
	}
	if o.ChunkEvery == 0 {
		o.ChunkEvery = 20 * time.Millisecond
	}
	if o.TokensPerChunk == 0 {
		o.TokensPerChunk = 1
	}
	if o.DefaultOutput == 0 {
		o.DefaultOutput = 64
	}
	if o.ErrorStatus == 0 {
		o.ErrorStatus = http.StatusInternalServerError
	}
	if o.MaxConcurrent == 0 {
		o.MaxConcurrent = 4096
	}
	if len(o.Models) == 0 {
		o.Models = []string{"standin-1"}
	}
	if o.Counter == nil {
		o.Counter = llm.NewCounter()
	}
	return nil
}

func errorStatus(s int) bool { return s >= 400 && s <= 599 }
