package scenario

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/document"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// Bounds of a scenario.
const (
	MaxNodes      = 50_000
	MaxDuration   = 7 * 24 * time.Hour
	MaxRetries    = 100
	MaxStreams    = 64
	MaxFaults     = 256
	MaxBounds     = 64
	maxZones      = 64
	maxZoneWeight = 1000
	maxRevisions  = 16
	maxNodeList   = 1000
	maxShift      = 24 * time.Hour
	maxDelay      = time.Minute // of a packet or a disk
)

// Defaults of what a document may leave out.
const (
	defaultFounders = 3
	defaultRest     = 30 * time.Second
	defaultReorder  = 50 * time.Millisecond
)

var (
	defaultSameZone  = Delay{Median: 300 * time.Microsecond, P99: 2 * time.Millisecond}
	defaultOtherZone = Delay{Median: time.Millisecond, P99: 5 * time.Millisecond}
	defaultSync      = Delay{Median: 2 * time.Millisecond, P99: 20 * time.Millisecond}
)

// Parse reads and checks a scenario, and the policy file and the traces that it names, which are seen from the
// directory of file. The error is a *document.Errors with every mistake found. src is copied.
func Parse(file string, src []byte) (*Scenario, error) {
	return parse(file, src, nil, readFile)
}

// ParseWith is Parse with another policy in the place of the scenario's own, which is not read. What the scenario
// revises is changed in p.
func ParseWith(file string, src []byte, p *policy.Policy) (*Scenario, error) {
	return parse(file, src, p, readFile)
}

// parse is Parse, or ParseWith if p is not nil, with another way to read files. read fails on files of more than
// most bytes.
func parse(file string, src []byte, p *policy.Policy, read func(path string, most int) ([]byte, error)) (*Scenario, error) {
	d := &decoder{document.Decoder{File: file, Noun: "scenario", Start: "start with apiVersion: " + apiVersion}, p, read}
	_, root := d.Open(src)
	if root == nil {
		return nil, d.Err()
	}
	s := d.scenario(root)
	if err := d.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// readFile reads a regular file.
func readFile(path string, most int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(src) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return src, err
}

// decoder reads scenarios.
type decoder struct {
	document.Decoder
	policy *policy.Policy // in the place of the document's, if not nil
	read   func(path string, most int) ([]byte, error)
}

// beside is a path as seen from the scenario's directory.
func (d *decoder) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.File), path)
}

// addAll adds the mistakes that another reader has found.
func (d *decoder) addAll(err error) {
	var all *document.Errors
	if !errors.As(err, &all) {
		d.ErrAt(d.At(1, 1), "", "%v", err)
		return
	}
	for _, e := range all.List {
		d.Add(e)
	}
}

func (d *decoder) scenario(root *yaml.Node) *Scenario {
	s := &Scenario{Seed: 1, Rest: defaultRest, Traces: map[string]*workload.Recording{}}
	s.Network = Network{SameZone: defaultSameZone, OtherZone: defaultOtherZone, ReorderBy: defaultReorder}
	s.Disk.Sync = defaultSync
	f := d.Mapping(root, scenarioShape)
	if f == nil {
		return nil
	}
	if n := f["apiVersion"]; n != nil {
		if v, ok := d.Text(n, "apiVersion"); ok && v != apiVersion {
			d.Report(n, "write "+apiVersion, "this version does not know apiVersion %q", document.Clip(v))
		}
	}
	if n := f["name"]; n != nil {
		s.Name, _ = d.Name(n, "the scenario's name")
	}
	if n := f["description"]; n != nil {
		v, _ := d.Text(n, "description")
		s.Description = strings.TrimSpace(v)
	}
	if n := f["seed"]; n != nil {
		v, ok := d.Scalar(n, "seed", "write a whole number from 0")
		seed, err := strconv.ParseUint(v, 10, 63)
		if ok && err != nil {
			d.Report(document.Deref(n), "write a whole number from 0", "seed cannot be %q", document.Clip(v))
		}
		s.Seed = seed
	}
	s.Nodes = d.whole(f["nodes"], "nodes", 1, MaxNodes, MaxNodes)
	s.Founders = d.whole(f["founders"], "founders", 1, MaxNodes, min(defaultFounders, s.Nodes))
	if s.Founders > s.Nodes {
		d.Report(f["founders"], "", "there are %d nodes, so %d cannot be founders", s.Nodes, s.Founders)
	}
	d.zones(s, f["zones"])
	s.Warmup = d.span(f["warmup"], "warmup", 0, MaxDuration, 0)
	s.Duration = d.span(f["duration"], "duration", time.Second, MaxDuration, time.Minute)
	s.Rest = d.span(f["rest"], "rest", 0, MaxDuration, s.Rest)
	s.Settle = d.span(f["settle"], "settle", time.Second, MaxDuration, 0)
	if n := f["warmup"]; n != nil && s.Warmup >= s.Duration {
		d.Report(n, "", "warmup is %v, it must end before duration, which is %v", s.Warmup, s.Duration)
	}
	s.Retries = d.whole(f["retries"], "retries", 0, MaxRetries, 0)
	d.network(&s.Network, f["network"])
	if n := f["disk"]; n != nil {
		s.Disk.Sync = d.delay(d.Mapping(n, diskShape)["sync"], "sync", s.Disk.Sync)
	}
	if n := f["gossip"]; n != nil {
		s.Gossip.BytesPerSecond = d.bytes(d.Mapping(n, gossipShape)["bytes"], "bytes")
	}
	if n := f["provider"]; n != nil {
		d.provider(s, n)
	}
	d.policies(s, f, root)
	if n := f["upstreams"]; n != nil {
		d.upstreams(s, n)
	}
	d.workload(s, f["workload"])
	d.faults(s, f["faults"])
	if n := eventsAtMost(s); n > MaxEvents {
		d.Report(f["faults"], "let them come less often, or end them with until", "faults may happen %d times in all, at most %d can", n, MaxEvents)
	}
	d.variants(s, f["beside"])
	d.bounds(s, f["bounds"])
	return s
}

func (d *decoder) zones(s *Scenario, n *yaml.Node) {
	if n == nil {
		return
	}
	first := map[string]*yaml.Node{}
	for _, item := range d.Items(n, "zones", "write a list of zones, as in [{name: a}, {name: b, weight: 2}], or leave the field out", maxZones) {
		f := d.Mapping(item, zoneShape)
		z := Zone{Weight: d.whole(f["weight"], "weight", 1, maxZoneWeight, 1)}
		if n := f["name"]; n != nil {
			if v, ok := d.Name(n, "a zone's name"); ok && d.Unique(first, n, v, "zone") {
				z.Name = v
			}
		}
		s.Zones = append(s.Zones, z)
	}
}

// zone reads the name of a zone that must exist.
func (d *decoder) zone(s *Scenario, n *yaml.Node) string {
	if n == nil {
		return ""
	}
	v, ok := d.Text(n, "zone")
	if !ok {
		return ""
	}
	var names []string
	for _, z := range s.Zones {
		if z.Name == v {
			return v
		}
		names = append(names, z.Name)
	}
	advice := document.DidYouMean(v, names)
	if len(names) == 0 {
		advice = "declare it, as in zones: [{name: a}, {name: b}]"
	}
	d.Report(document.Deref(n), advice, "unknown zone %q", document.Clip(v))
	return ""
}

func (d *decoder) network(w *Network, n *yaml.Node) {
	if n == nil {
		return
	}
	f := d.Mapping(n, networkShape)
	w.SameZone = d.delay(f["same_zone"], "same_zone", w.SameZone)
	w.OtherZone = d.delay(f["other_zone"], "other_zone", w.OtherZone)
	w.Loss = d.fraction(f["loss"], "loss")
	w.Duplicate = d.fraction(f["duplicate"], "duplicate")
	w.Reorder = d.fraction(f["reorder"], "reorder")
	w.ReorderBy = d.span(f["reorder_by"], "reorder_by", 0, maxDelay, w.ReorderBy)
	w.Bandwidth = d.bytes(f["bandwidth"], "bandwidth")
}
