package scenario

// ZoneOf is the zone of the node with that index; nodes that join later have the next indexes. With weights 2 and
// 1 nodes go to a, b, a, a, b, a, … (smooth weighted round robin). It is "" in a scenario without zones.
func (s *Scenario) ZoneOf(node int) string {
	zones := s.cycle()
	if len(zones) == 0 {
		return ""
	}
	return zones[node%len(zones)]
}

// ZoneList is the zone of each node of the start.
func (s *Scenario) ZoneList() []string {
	zones, list := s.cycle(), make([]string, s.Nodes)
	for i := range list {
		if len(zones) > 0 {
			list[i] = zones[i%len(zones)]
		}
	}
	return list
}

// cycle is the order in which nodes are dealt out, which then repeats.
func (s *Scenario) cycle() []string {
	total := 0
	for _, z := range s.Zones {
		total += z.Weight
	}
	credit, order := make([]int, len(s.Zones)), make([]string, 0, total)
	for range total {
		best := 0
		for i, z := range s.Zones {
			credit[i] += z.Weight
			if credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= total
		order = append(order, s.Zones[best].Name)
	}
	return order
}
