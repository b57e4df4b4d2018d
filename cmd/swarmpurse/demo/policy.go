package demo

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"os"
	"text/template"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
)

//go:embed policy.yaml.tmpl
var policyText string

var policyTemplate = template.Must(template.New("policy").Parse(policyText))

// The demo's budgets, in parts of what the workload asks for on average (limits of answers counted,
// as reservations do).
const (
	poolPart   = 0.45 // the pool's supply: calm times ask for 0.7 of it, surges for 11 times
	ratePart   = 0.60 // the provider's rate: binds in surges
	burstOver  = 4.0  // seconds of that rate
	tenantPart = 0.38 // of the pool over the whole run, for each tenant
	pacePart   = 0.40 // of the pool, for each tenant
)

// amounts fills in the template.
type amounts struct {
	PoolWindow, PaceWindow             string
	Pool, Rate, Burst, TenantDay, Pace int64
	Times                              float64
}

// demoPolicy writes the policy of the demo, fitted to a workload.
func demoPolicy(w *Workload, nodes int, length time.Duration) []byte {
	reserved, _, largest := w.Demand()
	perSecond := float64(reserved) / length.Seconds()
	window := 10 * time.Second
	if length < 40*time.Second {
		window = 2 * time.Second
	}
	// The largest call must fit into what two nodes hold together, whatever the workload.
	least := float64(largest) * float64(nodes) / 2
	pool := max(poolPart*perSecond*window.Seconds(), least)
	rate := max(ratePart*perSecond, 1)
	a := amounts{
		PoolWindow: window.String(), PaceWindow: (2 * window).String(),
		Pool: round(pool), Rate: round(rate), Burst: round(max(burstOver*rate, least)),
		TenantDay: round(max(tenantPart*pool*length.Seconds()/window.Seconds(), least)),
		Pace:      round(max(pacePart*2*pool, least)),
		Times:     perSecond * window.Seconds() / pool,
	}
	var b bytes.Buffer
	if err := policyTemplate.Execute(&b, a); err != nil {
		panic("BUG: " + err.Error())
	}
	return b.Bytes()
}

// round keeps two digits, as people write limits, rounding up.
func round(f float64) int64 {
	unit := math.Pow(10, max(0, math.Floor(math.Log10(f))-1))
	return int64(math.Ceil(f/unit) * unit)
}

// maxPolicy bounds a document of the user's.
const maxPolicy = 1 << 20

// loadPolicy reads the user's document, or writes the demo's own.
func loadPolicy(o *Options, w *Workload) (*policy.Policy, error) {
	if o.Policy == "" {
		p, err := policy.Parse("demo policy", demoPolicy(w, o.Nodes, o.Duration))
		if err != nil {
			panic(fmt.Sprintf("BUG: the demo's own policy is wrong: %v", err))
		}
		return p, nil
	}
	st, err := os.Stat(o.Policy)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxPolicy {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", o.Policy, st.Size(), maxPolicy)
	}
	src, err := os.ReadFile(o.Policy)
	if err != nil {
		return nil, err
	}
	return policy.Parse(o.Policy, src)
}

// fitClasses leaves the classes out that a policy of the user's does not have: those agents' calls are
// of the policy's default class.
func fitClasses(w *Workload, pol *policy.Policy) {
	for i := range w.Agents {
		if _, ok := pol.Class(w.Agents[i].Class); !ok {
			w.Agents[i].Class = ""
		}
	}
}
