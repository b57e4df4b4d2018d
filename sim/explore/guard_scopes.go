package explore

import "time"

// GuardScopes are the worlds in which the protocol of guardians is explored: an owner, its three guardians and those who
// claim it, who are guardians, too, since only they have a copy.
func GuardScopes() []GuardScope {
	one := [][]int{{1, 2, 3}, {}, {}, {}}
	return []GuardScope{
		{
			Name: "notes", About: "versions are held, then claimed by any guardian, while answers come late and twice",
			Sets: one, Claims: [][2]int{{2, 0}}, Pass: []time.Duration{2 * guardLease},
			Most: GuardCosts{Puts: 2, Claims: 1, Passes: 1}, Depth: 10, Brief: 8,
		},
		{
			Name: "claims", About: "all guardians claim, with ballots that overtake each other",
			Sets: one, Claims: [][2]int{{1, 0}, {2, 0}, {3, 0}}, Pass: []time.Duration{2 * guardLease},
			Most: GuardCosts{Puts: 1, Claims: 2, Passes: 1}, Depth: 9, Brief: 7,
		},
		{
			Name: "lease", About: "leases end on clocks that drift apart, up to two margins within a lease",
			Sets: one, Claims: [][2]int{{1, 0}}, Pass: []time.Duration{8 * time.Second}, Ticks: []int{0},
			Drift: map[int]time.Duration{1: 2 * time.Second, 2: 2 * time.Second},
			Most:  GuardCosts{Ticks: 1, Claims: 1, Passes: 3, Drifts: 2}, Depth: 10, Brief: 8,
		},
		{
			Name: "guardian", About: "guardians crash around their writes, or those fail, while they are told and asked",
			Sets: one, Claims: [][2]int{{2, 0}, {3, 0}}, Pass: []time.Duration{12 * time.Second}, Crashes: []int{1, 2}, Aborts: []int{1, 2},
			Most: GuardCosts{Puts: 1, Claims: 2, Passes: 2, Faults: 2}, Depth: 7, Brief: 6,
		},
		{
			Name: "owner", About: "an owner crashes, claims itself, gives up its lease and names other guardians",
			Sets: append(one[:4:4], []int{}), Claims: [][2]int{{2, 0}}, Next: []int{0}, Release: []int{0}, Renames: []int{0}, Crashes: []int{0},
			Pass: []time.Duration{12 * time.Second}, Ticks: []int{0},
			Most: GuardCosts{Puts: 1, Ticks: 1, Claims: 2, Passes: 1, Faults: 1}, Depth: 7, Brief: 6,
		},
		{
			Name: "parts", About: "notes and decisions of two records that go one at a time, while versions overtake each other and guardians claim",
			Sets: one, Claims: [][2]int{{1, 0}}, Pass: []time.Duration{12 * time.Second}, Parts: 2,
			Most: GuardCosts{Puts: 2, Claims: 1, Passes: 1}, Depth: 9, Brief: 7,
		},
		{
			Name: "mutual", About: "two owners who guard each other claim each other",
			Sets: [][]int{{1, 2, 3}, {0, 2, 3}, {}, {}}, Claims: [][2]int{{0, 1}, {1, 0}}, Ticks: []int{0, 1},
			Pass: []time.Duration{12 * time.Second},
			Most: GuardCosts{Ticks: 1, Claims: 2, Passes: 1}, Depth: 9, Brief: 7,
		},
	}
}
