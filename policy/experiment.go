package policy

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"github.com/cespare/xxhash/v2"
)

// Experiment has calls run in one of several ways, chosen by a stable hash of one value, and compares what becomes of them. A call takes
// part in one experiment at most: the first, in the order of the document, that it fits.
type Experiment struct {
	Name string
	By   string // whose values are assigned to arms: tenant, agent, run, model, attributes.NAME
	// Cost is the token type whose charges are compared.
	Cost string
	Arms []Arm // the first is what the others are compared with
	// ID says of what experiment counters are: another definition is another experiment.
	ID ExperimentID

	pos   Pos
	by    attr
	when  *expr // nil: all calls
	seed  uint64
	total int64 // of the arms' weights
}

// ExperimentID is a hash of an experiment's definition.
type ExperimentID [16]byte

// Arm is one way to run calls.
type Arm struct {
	Experiment *Experiment
	Name       string
	Index      int
	Weight     int64
	Params
}

// Params is what an arm sets in a call. A call is decided, priced and counted as what it becomes.
type Params struct {
	Model     string // "" leaves it
	MaxOutput int64  // tokens of output that the call may have at most, over all its choices; 0 leaves it
	// Temperature and TopP are in parts per million; Unset leaves them.
	Temperature, TopP int64
}

// Unset is the value of a parameter that an arm does not set.
const Unset = -1

// Bounds of experiments.
const (
	MaxExperiments = 4
	MaxArms        = 8
	maxArmWeight   = 1_000_000
	maxTemperature = 2 * million

	armBits  = 4
	armShift = 32 // of Key.Chosen; below it are the flags
)

// Changes reports whether anything is set.
func (p *Params) Changes() bool {
	return p.Model != "" || p.MaxOutput > 0 || p.Temperature != Unset || p.TopP != Unset
}

// Apply makes a call what it becomes, as far as rules and costs see it.
func (p *Params) Apply(c *Call) {
	if p.Model != "" {
		c.Model = p.Model
	}
	if p.MaxOutput > 0 && c.MaxOutputTokens > p.MaxOutput {
		c.MaxOutputTokens = p.MaxOutput
	}
}

func (p *Params) String() string {
	var list []string
	if p.Model != "" {
		list = append(list, "model "+p.Model)
	}
	if p.MaxOutput > 0 {
		list = append(list, fmt.Sprintf("at most %d tokens of output", p.MaxOutput))
	}
	if p.Temperature != Unset {
		list = append(list, "temperature "+Decimals(p.Temperature))
	}
	if p.TopP != Unset {
		list = append(list, "top_p "+Decimals(p.TopP))
	}
	if len(list) == 0 {
		return "as it is"
	}
	return strings.Join(list, ", ")
}

// Decimals writes parts per million as a number: 0.3.
func Decimals(ppm int64) string { return strconv.FormatFloat(float64(ppm)/million, 'f', -1, 64) }

// Experiments lists them in the order of the document. The caller must not change it.
func (p *Policy) Experiments() []*Experiment { return p.experiments }

// When is the condition of taking part, "" for none.
func (e *Experiment) When() string {
	if e.when == nil {
		return ""
	}
	return e.when.source
}

// init works out what choosing needs.
func (e *Experiment) init() {
	e.by, _ = splitBy(e.By)
	e.seed = xxhash.Sum64String("experiment/" + e.Name)
	text := fmt.Sprintf("%q %q %q %q", e.Name, e.By, e.When(), e.Cost)
	for i := range e.Arms {
		a := &e.Arms[i]
		a.Experiment, a.Index = e, i
		e.total += a.Weight
		text += fmt.Sprintf(" %q %d %q %d %d %d", a.Name, a.Weight, a.Model, a.MaxOutput, a.Temperature, a.TopP)
	}
	sum := sha256.Sum256([]byte(text))
	copy(e.ID[:], sum[:])
}

// arm is the arm of a call that takes part, nil for one that does not say the value. It allocates nothing.
func (e *Experiment) arm(c *Call) *Arm {
	v := e.by.value(c, "")
	if v == "" {
		return nil
	}
	at := ticket(v, e.seed) * uint64(e.total) >> 32
	for i := range e.Arms {
		if at < uint64(e.Arms[i].Weight) {
			return &e.Arms[i]
		}
		at -= uint64(e.Arms[i].Weight)
	}
	panic("BUG: weights that do not add up")
}

// armsOf are the arms that a call has in each of the experiments, if it takes part, for its Key.
func (p *Policy) armsOf(c *Call) (bits uint64) {
	if c.Fixed {
		return 0
	}
	for i, e := range p.experiments {
		if a := e.arm(c); a != nil {
			bits |= uint64(a.Index+1) << (armShift + armBits*i)
		}
	}
	return bits
}

// assign finds the experiment in which a call takes part, and its arm; nil for none.
func (p *Policy) assign(a *activation) (*Arm, error) {
	if a.call.Fixed {
		return nil, nil
	}
	for _, e := range p.experiments {
		arm := e.arm(a.call)
		if arm == nil {
			continue
		}
		if e.when != nil {
			v, err := e.when.eval(a)
			if err != nil {
				return nil, &RuleError{Pos: e.when.pos, Rule: "experiment " + e.Name, Part: "when", Err: err}
			}
			if v != types.True {
				continue
			}
		}
		return arm, nil
	}
	return nil, nil
}

// checkExperiments looks for experiments that can tell nothing.
func (p *Policy) checkExperiments(warn func(Pos, string, ...any)) {
	for i, e := range p.experiments {
		same := true
		for j := range e.Arms {
			same = same && e.Arms[j].Params == e.Arms[0].Params
		}
		if same {
			warn(e.pos, "the arms of experiment %q do the same: it only shows how much chance does", e.Name)
		}
		if e.when == nil && i < len(p.experiments)-1 && p.experiments[i+1].By == e.By {
			warn(p.experiments[i+1].pos, "experiment %q takes all calls that say their %s, so none is left for experiment %q: write when", e.Name, e.By, p.experiments[i+1].Name)
		}
		if e.By == "model" {
			warn(e.pos, "experiment %q is split by model: arms are compared on different models, and say nothing of one another", e.Name)
		}
	}
}
