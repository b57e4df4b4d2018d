package scenario

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// part is the text of a block mapping that is a document of its own, with its indentation removed. below and right
// say where it begins.
func (d *decoder) part(n *yaml.Node, what string) (src []byte, below, right int, ok bool) {
	below, right = n.Line-1, n.Column-1
	first := ""
	if below < len(d.Lines) {
		first = d.Lines[below]
	}
	if n.Kind != yaml.MappingNode || n.Style&yaml.FlowStyle != 0 || n.Anchor != "" || right > len(first) || strings.TrimLeft(first[:right], " ") != "" {
		d.Report(n, "", "%s must be the fields of a policy, each on a line of its own, indented below", what)
		return nil, 0, 0, false
	}
	// A block ends where something stands further left; comments and empty lines may stand anywhere.
	lines := []string{first[right:]}
	for _, line := range d.Lines[below+1:] {
		text := strings.TrimLeft(line, " ")
		indent := len(line) - len(text)
		switch {
		case indent >= right:
			lines = append(lines, line[right:])
			continue
		case text == "" || text[0] == '#':
			lines = append(lines, "")
			continue
		}
		break
	}
	return []byte(strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"), below, right, true
}

// policies reads the policy and what it is revised to.
func (d *decoder) policies(s *Scenario, f map[string]*yaml.Node, root *yaml.Node) {
	inline, file := f["policy"], f["policy_file"]
	switch {
	case d.policy != nil:
	case inline != nil && file != nil:
		d.Report(file, "leave one of them out", "there is a policy and a policy_file")
		return
	case inline == nil && file == nil:
		d.Report(root, "add policy: with the fields of a policy below, or policy_file", "the scenario lacks a policy")
		return
	}
	p := d.policy
	var err error
	switch {
	case p != nil:
	case inline != nil:
		src, below, right, ok := d.part(inline, "policy")
		if !ok {
			return
		}
		p, err = policy.ParsePart(d.File, src, below, right)
	default:
		name, ok := d.Text(file, "policy_file")
		if !ok {
			return
		}
		path := d.beside(name)
		src, readErr := d.read(path, policy.MaxSource)
		if readErr != nil {
			d.Report(file, "", "policy_file: %v", readErr)
			return
		}
		p, err = policy.Parse(path, src)
	}
	if err != nil {
		d.addAll(err)
		return
	}
	s.Policies = append(s.Policies, p)
	if n := f["revisions"]; n != nil {
		d.revisions(s, n)
	}
}

// revisions reads the changes, each of the revision before it.
func (d *decoder) revisions(s *Scenario, n *yaml.Node) {
	for i, item := range d.Items(n, "revisions", "write a list of changes, or leave the field out", maxRevisions) {
		before := s.Policies[len(s.Policies)-1]
		src, raised := before.Source(), false
		changes := d.Entries(item, "a revision", "write paths and values, as in {budgets.0.price.base: 3}")
		for _, c := range changes {
			value, ok := d.Scalar(c.Value, c.Key.Value, "write one value")
			if !ok {
				return
			}
			changed, err := Set(src, c.Key.Value, value)
			if err != nil {
				d.Report(c.Key, "", "revision %d: %v", i+1, err)
				return
			}
			src, raised = changed, raised || c.Key.Value == "revision"
		}
		if len(changes) == 0 {
			return
		}
		if !raised {
			changed, err := Set(src, "revision", strconv.FormatInt(before.Revision()+1, 10))
			if err != nil {
				panic("BUG: a policy's revision: " + err.Error())
			}
			src = changed
		}
		p, err := policy.Parse(fmt.Sprintf("revision %d", i+1), src)
		if err != nil {
			d.Report(item, "", "revision %d makes a policy that is not valid: %s", i+1, document.OneLine(err.Error()))
			return
		}
		if !policy.Newer(p, before) {
			d.Report(item, "leave revision out: it is raised by 1", "revision %d has the number %d, which is not above %d", i+1, p.Revision(), before.Revision())
			return
		}
		s.Policies = append(s.Policies, p)
	}
}
