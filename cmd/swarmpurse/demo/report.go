package demo

import (
	"fmt"
	"time"
)

// Report is what a run showed.
type Report struct {
	OK       bool     `json:"ok"`
	Failures []string `json:"failures,omitempty"` // what must not be and was
	Notes    []string `json:"notes,omitempty"`

	Nodes    int     `json:"nodes"`
	Agents   int     `json:"agents"`
	Seconds  float64 `json:"seconds"` // the load
	Workload string  `json:"workload"`
	Policy   string  `json:"policy"`
	Calls    int     `json:"calls"` // of the workload
	LeftOut  int     `json:"calls_left_out,omitempty"`

	Total    Tally         `json:"total"`
	Wait     Latency       `json:"wait_of_admitted"`
	Groups   []GroupTally  `json:"by_tenant_and_class"`
	Phases   []Phase       `json:"phases"`
	All      Latencies     `json:"admission"`
	Audit    []BudgetAudit `json:"audit"` // by the model server's count
	Agree    []Agreement   `json:"books,omitempty"`
	Server   ServerCount   `json:"model_server"`
	Gossip   []Gossip      `json:"gossip"`
	Cut      *CutReport    `json:"cut,omitempty"`
	Settling Settling      `json:"after_the_load"`

	Logs string `json:"logs,omitempty"` // directory, if it was kept
}

// GroupTally is the calls of one tenant in one class.
type GroupTally struct {
	Tenant string `json:"tenant"`
	Class  string `json:"class"`
	Tally
	// Wait is how long admitted calls were queued; those admitted at once were for 0.
	Wait Latency `json:"wait_of_admitted"`
}

// Latencies are how long admission took, from a call's arrival at admission to its decision. The model
// server's time is in neither.
type Latencies struct {
	// Local is of calls decided at once, by the nodes' histograms: exact to a bucket.
	Local Latency `json:"at_once"`
	// Waited is of calls that were queued for tokens, admitted in the end or not, by the nodes' record
	// of each decision: exact.
	Waited Latency `json:"after_waiting"`
}

// Phase is a part of the run: before, during and after the cut.
type Phase struct {
	Name      string           `json:"name"`
	Seconds   float64          `json:"seconds"`
	Admission Latencies        `json:"admission"`
	Admitted  map[string]int64 `json:"admitted_by_half"` // zone a, zone b
}

// ServerCount is what the model server counted.
type ServerCount struct {
	Calls            int64 `json:"calls"`
	Completed        int64 `json:"completed"`
	Aborted          int64 `json:"aborted"`
	Errors           int64 `json:"errors"`
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
}

// Gossip is a node's traffic during the load, all of the pool's.
type Gossip struct {
	Node     string  `json:"node"`
	Sent     float64 `json:"sent_bytes_per_second"`
	Received float64 `json:"received_bytes_per_second"`
}

// CutReport tells of the partition.
type CutReport struct {
	Seconds float64 `json:"seconds"`
	HalfA   int     `json:"nodes_a"`
	HalfB   int     `json:"nodes_b"`
	// Converged is how long after the heal every node had heard of all that any node had done by then,
	// under load; negative if it never did.
	Converged float64 `json:"converged_seconds"`
}

// Settling tells how the swarm came to rest after the load.
type Settling struct {
	// Agreed is how long after the last call all nodes reported the same totals; negative: never.
	Agreed float64 `json:"agreed_seconds"`
	// Closed says that nothing was left open and the books of every budget closed.
	Closed bool `json:"books_closed"`
	// Settled is how many reservations the nodes settled.
	Settled int64 `json:"settled_by_nodes"`
}

// Agreement compares the nodes' books with the model server's count, where they can be compared: for
// instances that kept one window through the run.
type Agreement struct {
	Instance string `json:"instance"`
	Nodes    int64  `json:"spent_by_the_nodes_books"`
	Server   int64  `json:"counted_by_the_model_server"`
}

// Err is nil if the run showed what it should, and says else what it did not.
func (r *Report) Err() error {
	if r.OK {
		return nil
	}
	return &FailedError{r.Failures, r.Logs}
}

// FailedError says that a run did not show what it should.
type FailedError struct {
	Failures []string
	Logs     string
}

func (e *FailedError) Error() string {
	if len(e.Failures) == 1 {
		return "the demo failed: " + e.Failures[0]
	}
	return fmt.Sprintf("the demo failed in %d ways, as the report says", len(e.Failures))
}

// Hint names where to look.
func (e *FailedError) Hint() string {
	if e.Logs == "" {
		return ""
	}
	return "the nodes' logs and data are in " + e.Logs
}

func (r *Report) fail(what string) { r.Failures = append(r.Failures, what) }

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}
