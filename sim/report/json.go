package report

import (
	"bytes"
	"encoding/json"
	"math"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// JSON writes what the page is about as indented JSON. Durations are seconds, fractions are in 0..1, null is a
// figure that there is none of, and a swarm that never converged took -1 s.
func (p *Page) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(p.data)
	return b.Bytes(), err
}

// Data is what JSON writes.
func (p *Page) Data() any { return p.data }

type jsonRun struct {
	Label       string         `json:"label,omitempty"`
	Scenario    string         `json:"scenario"`
	Description string         `json:"description"`
	Passed      bool           `json:"passed"`
	Seed        uint64         `json:"seed"`
	Nodes       int            `json:"nodes"`
	Duration    float64        `json:"duration_s"`
	Events      uint64         `json:"events"`
	TraceHash   string         `json:"trace_hash"`
	Wall        float64        `json:"wall_s"`
	Systems     []jsonSystem   `json:"systems"`
	Bounds      []jsonBound    `json:"bounds"`
	Marks       []jsonMark     `json:"marks,omitempty"`
	Rollouts    []jsonRollout  `json:"rollouts,omitempty"`
	Violation   *jsonViolation `json:"violation,omitempty"`
	Unsettled   string         `json:"unsettled,omitempty"`
	Panels      []jsonPanel    `json:"panels,omitempty"`
}

type jsonSystem struct {
	Name    string       `json:"name"`
	Figures jsonFigures  `json:"figures"`
	Classes []jsonClass  `json:"classes"`
	Budgets []jsonBudget `json:"budgets,omitempty"`
	Tenants []jsonTenant `json:"tenants,omitempty"`
}

// jsonFigures are figures by name.
type jsonFigures map[string]value

type jsonClass struct {
	Name    string      `json:"name"`
	Figures jsonFigures `json:"figures"`
}

type jsonBudget struct {
	Name    string      `json:"name"`
	Token   string      `json:"token"`
	Figures jsonFigures `json:"figures"`
}

type jsonTenant struct {
	Name          string `json:"name"`
	Offered       int64  `json:"offered"`
	Admitted      int64  `json:"admitted"`
	OfferedTokens int64  `json:"offered_tokens"`
	GoodputTokens int64  `json:"goodput_tokens"`
}

type jsonBound struct {
	Text  string `json:"text"`
	Got   string `json:"got"`
	OK    bool   `json:"ok"`
	Lacks string `json:"not_judged_without,omitempty"` // a system that was not run
}

type jsonRollout struct {
	Revision   int64   `json:"revision"`
	At         float64 `json:"at_s"`
	Node       string  `json:"node"`
	How        string  `json:"on,omitempty"`
	End        string  `json:"came_to,omitempty"`
	EndAt      float64 `json:"ended_at_s,omitempty"`
	EndNode    string  `json:"ended_by_node,omitempty"`
	By         string  `json:"by,omitempty"`
	Why        string  `json:"why,omitempty"`
	Everywhere float64 `json:"everywhere_s,omitempty"`
	Refused    string  `json:"refused,omitempty"`
}

type jsonMark struct {
	At    float64 `json:"at_s"`
	Until float64 `json:"until_s,omitempty"`
	Kind  string  `json:"kind"`
	Text  string  `json:"text,omitempty"`
}

type jsonViolation struct {
	Invariant string  `json:"invariant"`
	Detail    string  `json:"detail"`
	At        float64 `json:"at_s"`
	Event     uint64  `json:"event"`
	Prefix    string  `json:"shortest_prefix"`
	Command   string  `json:"command"`
}

type jsonPanel struct {
	ID    string     `json:"id"`
	Title string     `json:"title"`
	Unit  string     `json:"unit"`
	Stack bool       `json:"stack,omitempty"`
	At    []float64  `json:"at_s"`
	Lines []jsonLine `json:"lines"`
}

type jsonLine struct {
	Name   string  `json:"name"`
	Values []value `json:"values"`
}

// value is a number that JSON can hold: null for NaN, -1 for never.
type value float64

func (v value) MarshalJSON() ([]byte, error) {
	switch f := float64(v); {
	case math.IsNaN(f):
		return []byte("null"), nil
	case math.IsInf(f, 0):
		return []byte("-1"), nil
	default:
		return json.Marshal(f)
	}
}

func runJSON(r *result.Result, panels bool) jsonRun {
	j := jsonRun{
		Label: r.Label, Scenario: r.Scenario, Description: r.Description, Passed: r.Passed(),
		Seed: r.Seed, Nodes: r.Nodes, Duration: r.Duration.Seconds(), Events: r.Events, TraceHash: r.TraceHash, Wall: r.Wall.Seconds(),
		Unsettled: r.Unsettled, Systems: []jsonSystem{}, Bounds: []jsonBound{},
	}
	for i := range r.Systems {
		s := &r.Systems[i]
		js := jsonSystem{Name: s.Name, Figures: jsonFigures{}, Classes: []jsonClass{}}
		for _, f := range result.Figures {
			if !f.ByBudget() {
				js.Figures[f.Name] = value(f.Of(s, ""))
			}
		}
		for _, c := range s.Classes {
			jc := jsonClass{c.Name, jsonFigures{}}
			for _, f := range result.Figures {
				if f.ByClass() {
					jc.Figures[f.Name] = value(f.Of(s, c.Name))
				}
			}
			js.Classes = append(js.Classes, jc)
		}
		for _, b := range s.Budgets {
			jb := jsonBudget{b.Name, b.Token, jsonFigures{}}
			for _, f := range result.Figures {
				if f.ByBudget() {
					jb.Figures[f.Name] = value(f.Of(s, b.Name))
				}
			}
			js.Budgets = append(js.Budgets, jb)
		}
		for _, t := range s.Tenants {
			js.Tenants = append(js.Tenants, jsonTenant(t))
		}
		j.Systems = append(j.Systems, js)
	}
	for _, b := range r.Bounds {
		j.Bounds = append(j.Bounds, jsonBound(b))
	}
	for _, m := range r.Marks {
		j.Marks = append(j.Marks, jsonMark{m.At.Seconds(), m.Until.Seconds(), m.Kind, m.Text})
	}
	for _, x := range r.Rollouts {
		j.Rollouts = append(j.Rollouts, jsonRollout{x.Revision, x.At.Seconds(), x.Node, x.How, x.End, x.EndAt.Seconds(), x.EndNode, x.By, x.Why, x.Everywhere.Seconds(), x.Refused})
	}
	if v := r.Violation; v != nil {
		j.Violation = &jsonViolation{v.Invariant, v.Detail, v.At.Seconds(), v.Event, v.Prefix, v.Command}
	}
	if panels {
		for _, p := range r.Panels {
			jp := jsonPanel{p.ID, p.Title, p.Unit, p.Stack, inSeconds(p.At), []jsonLine{}}
			for _, l := range p.Lines {
				jl := jsonLine{l.Name, make([]value, len(l.Values))}
				for i, v := range l.Values {
					jl.Values[i] = value(v)
				}
				jp.Lines = append(jp.Lines, jl)
			}
			j.Panels = append(j.Panels, jp)
		}
	}
	return j
}

func inSeconds(all []time.Duration) []float64 {
	s := make([]float64, len(all))
	for i, d := range all {
		s[i] = d.Seconds()
	}
	return s
}
