package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/document"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// maxTrace bounds a trace's file in bytes.
const maxTrace = 512 << 20

// kindFields are the fields that go with some kinds of streams only.
var kindFields = map[string][]Kind{
	"burst": {Bursty}, "period": {Diurnal, HotSpot}, "swing": {Diurnal},
	"start": {FlashCrowd}, "peak": {FlashCrowd}, "ramp": {FlashCrowd}, "hold": {FlashCrowd},
	"hot": {HotSpot}, "part": {HotSpot}, "depth": {Chain}, "think": {Chain},
	"trace": {Trace}, "speed": {Trace}, "scale": {Trace}, "repeats": {Trace},
	"rate":   {Poisson, Bursty, Diurnal, FlashCrowd, HotSpot, Chain},
	"prompt": {Poisson, Bursty, Diurnal, FlashCrowd, HotSpot, Chain}, "output": {Poisson, Bursty, Diurnal, FlashCrowd, HotSpot, Chain},
}

// neededFields must be there with their kinds.
var neededFields = []string{"rate", "prompt", "output", "burst", "swing", "start", "peak", "hold", "hot", "part", "depth", "trace"}

func (d *decoder) workload(s *Scenario, n *yaml.Node) {
	if n == nil {
		return
	}
	first := map[string]*yaml.Node{}
	for i, item := range d.Items(n, "workload", "write a list of streams", MaxStreams) {
		f := d.Mapping(item, streamShape)
		if f == nil {
			continue
		}
		item = document.Deref(item)
		st, ok := d.stream(s, item, f)
		if n := f["name"]; n != nil {
			if v, ok := d.Name(n, "a stream's name"); ok && d.Unique(first, n, v, "stream") {
				st.Name = v
			}
		} else {
			st.Name = fmt.Sprintf("%s-%d", st.Kind, i+1)
			ok = d.Unique(first, item, st.Name, "stream") && ok
		}
		if !ok {
			continue
		}
		var fe *workload.FieldError
		if err := st.Check(); errors.As(err, &fe) {
			at := item
			field, _, _ := strings.Cut(fe.Field, ".")
			if n := f[field]; n != nil {
				at = document.Deref(n)
			}
			d.Report(at, "", "%v", fe)
			continue
		}
		if n := f["trace"]; n != nil {
			d.trace(s, &st, document.Deref(n))
		}
		s.Workload = append(s.Workload, st)
	}
}

// stream reads one stream, but for its name, and reports whether it is worth to be checked.
func (d *decoder) stream(s *Scenario, item *yaml.Node, f map[string]*yaml.Node) (st Stream, ok bool) {
	if n := f["kind"]; n != nil {
		v, isText := d.Text(n, "kind")
		if st.Kind = Kind(v); isText && !slices.Contains(workload.Kinds, st.Kind) {
			d.Report(document.Deref(n), document.DidYouMean(v, names(workload.Kinds)), "unknown kind of stream %q", document.Clip(v))
			isText = false
		}
		ok = isText
	}
	for _, field := range streamShape.Fields { // in a fixed order
		kinds := kindFields[field.Name]
		if n := f[field.Name]; ok && n != nil && kinds != nil && !slices.Contains(kinds, st.Kind) {
			d.Report(document.Deref(n), "leave it out", "%s does not go with kind %s", field.Name, st.Kind)
			ok = false
		}
	}
	for _, name := range neededFields {
		if field, _ := streamShape.Find(name); ok && f[name] == nil && slices.Contains(kindFields[name], st.Kind) {
			d.Report(item, "add "+name+": "+document.LowerFirst(field.Doc), "a stream of kind %s needs the field %q", st.Kind, name)
			ok = false
		}
	}
	if st.Kind == Diurnal && ok && f["period"] == nil {
		d.Report(item, "add period: how long a day is", "a stream of kind %s needs the field %q", st.Kind, "period")
		ok = false
	}
	if n := f["rate"]; n != nil {
		st.Rate = d.rate(n)
		ok = ok && st.Rate > 0
	}
	st.Skip = d.truth(f["skip"], "skip")
	within := s.Duration
	if st.Skip { // it may stand beyond a duration that was cut
		within = MaxDuration
	}
	st.From = d.span(f["from"], "from", 0, within, 0)
	st.Until = d.span(f["until"], "until", 0, within, 0)
	st.Class = d.class(s, f["class"])
	if n := f["model"]; n != nil {
		st.Model, _ = d.Text(n, "model")
	}
	st.Priority = d.truth(f["priority"], "priority")
	st.Prompt, st.Output = d.size(f["prompt"], "prompt"), d.size(f["output"], "output")
	if n := f["max"]; n != nil {
		v, _ := d.Amount(n, "max")
		st.Max = int64(v)
	}
	if n := f["bytes"]; n != nil {
		v, _ := d.Amount(n, "bytes")
		st.Bytes = int64(v)
		d.paced(s, n)
	}
	st.Runs = d.delay(f["runs"], "runs", Delay{})
	if n := f["tenant"]; n != nil {
		st.Tenant, _ = d.Name(n, "a tenant's name")
	}
	st.Tenants = d.whole(f["tenants"], "tenants", 1, workload.MaxNames, 0)
	st.Skew = d.number(f["skew"], "skew")
	st.Agents = d.whole(f["agents"], "agents", 1, workload.MaxNames, 0)
	st.Nodes, st.Zone = d.fraction(f["nodes"], "nodes"), d.zone(s, f["zone"])
	st.Data, st.Stays = d.locality(s, f)
	if n := f["burst"]; n != nil {
		b := d.Mapping(n, burstShape)
		st.Burst = Burst{
			High: d.number(b["high"], "high"), On: d.span(b["on"], "on", 0, MaxDuration, 0), Off: d.span(b["off"], "off", 0, MaxDuration, 0),
		}
		ok = ok && b["high"] != nil && b["on"] != nil && b["off"] != nil
	}
	st.Period = d.span(f["period"], "period", 0, MaxDuration, 0)
	st.Swing = d.fraction(f["swing"], "swing")
	st.Start = d.span(f["start"], "start", 0, within, 0)
	st.Peak = d.number(f["peak"], "peak")
	st.Ramp, st.Hold = d.span(f["ramp"], "ramp", 0, MaxDuration, 0), d.span(f["hold"], "hold", 0, MaxDuration, 0)
	st.Hot, st.Part = d.whole(f["hot"], "hot", 1, MaxNodes, 0), d.fraction(f["part"], "part")
	st.Depth = d.whole(f["depth"], "depth", 1, workload.MaxDepth, 0)
	st.Think = d.delay(f["think"], "think", Delay{})
	if n := f["trace"]; n != nil {
		st.Trace, _ = d.Text(n, "trace")
	}
	st.Speed, st.Scale = d.number(f["speed"], "speed"), d.number(f["scale"], "scale")
	st.Repeats = d.truth(f["repeats"], "repeats")
	return st, ok
}

// class reads the name of a class that every revision of the policy must have.
func (d *decoder) class(s *Scenario, n *yaml.Node) string {
	if n == nil {
		return ""
	}
	v, ok := d.Text(n, "class")
	if !ok {
		return ""
	}
	for _, p := range s.Policies {
		if _, ok := p.Class(v); !ok {
			var names []string
			for _, c := range p.Classes() {
				names = append(names, c.Name)
			}
			d.Report(document.Deref(n), document.DidYouMean(v, names), "unknown class %q", document.Clip(v))
			break
		}
	}
	return v
}

// trace reads the trace of a stream and checks that its classes are those of the policy.
func (d *decoder) trace(s *Scenario, st *Stream, n *yaml.Node) {
	rec := workload.Sample()
	if st.Trace != workload.AzureSample {
		path := d.beside(st.Trace)
		st.Trace = path
		if rec = s.Traces[path]; rec == nil {
			src, err := d.read(path, maxTrace)
			if err == nil {
				rec, err = workload.ReadRecording(path, bytes.NewReader(src))
			}
			if err != nil {
				d.Report(n, traceAdvice(err), "trace: %v", err)
				return
			}
		}
	}
	s.Traces[st.Trace] = rec
	for i, row := range rec.Rows {
		for _, p := range s.Policies {
			if _, ok := p.Class(row.Class); !ok {
				d.Report(n, "add it to the policy's classes", "trace: call %d is of class %q, which the policy does not have", i+1, row.Class)
				return
			}
		}
	}
}

func traceAdvice(err error) string {
	var te *workload.TraceError
	if errors.As(err, &te) {
		return te.Hint()
	}
	return ""
}

func names[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// paced reports budgets of bytes that are no rates: those of windows would need to know into which one each byte falls.
func (d *decoder) paced(s *Scenario, n *yaml.Node) {
	for _, p := range s.Policies {
		for _, b := range p.Budgets() {
			if b.Unit == policy.ByteUnit && b.Spec.Kind != ledger.Rate {
				d.Report(document.Deref(n), "give that budget a rate and a burst", "the budget %q counts bytes, and in simulated runs they flow from rates only", b.Name)
				return
			}
		}
	}
}
