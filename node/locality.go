package node

import (
	"time"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/llm"
)

// reachOf names the upstreams that this node can send calls to.
func reachOf(ups []llm.Upstream) (names []string) {
	for _, u := range ups {
		names = append(names, u.Name)
	}
	return names
}

// neighborsOf are the members that callers may be sent to.
func neighborsOf(members []gossip.Member) (list []admit.Neighbor) {
	for _, m := range members {
		if !m.Self && m.Status == gossip.Alive && m.Zone != "" && m.Tags[tagDraining] == "" {
			list = append(list, admit.Neighbor{Name: m.Name, Zone: m.Zone, HTTP: m.Tags[tagHTTP], RTT: m.RTT})
		}
	}
	return list
}

// Lineage tells of recent decisions on calls that named a data set. See api.Node.
func (n *Node) Lineage(data string, limit int, view api.View) api.Lineage {
	list, all, since := n.engine.Touched(data, limit, view.Sees)
	v := api.Lineage{Data: data, Node: n.opts.Name, Total: all, Since: n.started.UTC(), Decisions: make([]api.Touch, 0, len(list))}
	if since > 0 {
		v.Since = time.UnixMilli(int64(since)).UTC()
	}
	for i := range list {
		t := &list[i]
		v.Decisions = append(v.Decisions, api.Touch{
			ID: n.engine.Format(t.ID), At: time.UnixMilli(int64(t.At)).UTC(), Decision: t.Verdict.String(), Code: t.Code, Tenant: t.Tenant, Agent: t.Agent,
			Run: t.Run, Class: t.Class, Model: t.Model, Upstream: t.Upstream, Revision: t.Revision, Data: dataOf(t.Data),
		})
	}
	return v
}

// dataOf writes data sets as callers name them.
func dataOf(list []admit.Datum) (out []string) {
	for _, d := range list {
		out = append(out, d.String())
	}
	return out
}
