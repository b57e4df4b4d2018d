package explore

import "github.com/swarmpurse/swarmpurse/ledger"

// HeirScopes are the worlds in which the accounting of claims is explored.
func HeirScopes() []HeirScope {
	grant := ledger.Spec{Kind: ledger.Grant, Amount: 40}
	return []HeirScope{
		{
			Name: "spend", About: "calls, gifts and crashes below what is held, while the node is claimed at any version",
			Founders: 1, Spec: grant, Calls: []ledger.Tokens{4}, Used: []int64{0}, Rights: []ledger.Tokens{40}, Heirs: [][2]int{{0, 1}}, Crashes: true,
			Most: HeirCosts{Calls: 3, Gifts: 1, Ticks: 1, Holds: 2, Claims: 1, Faults: 1}, Depth: 5, Brief: 4,
		},
		{
			Name: "heirs", About: "gifts between nodes that are claimed one after the other, by each other and by themselves",
			Founders: 1, Spec: grant, Rights: []ledger.Tokens{10}, Heirs: [][2]int{{0, 0}, {0, 1}, {1, 2}},
			Most: HeirCosts{Gifts: 2, Ticks: 1, Holds: 2, Claims: 2}, Depth: 5, Brief: 4,
		},
		{
			Name: "both", About: "a gift that is on its way when both sides are claimed, for heirs of their own",
			Founders: 1, Spec: grant, Rights: []ledger.Tokens{10}, Heirs: [][2]int{{0, 0}, {1, 2}},
			Most: HeirCosts{Gifts: 1, Claims: 2}, Depth: 7, Brief: 6,
		},
		{
			Name: "generations", About: "a node follows itself, and gives to one that knew its last generation",
			Founders: 1, Spec: grant, Rights: []ledger.Tokens{10}, Heirs: [][2]int{{0, 0}},
			Most: HeirCosts{Gifts: 2, Holds: 2, Claims: 1}, Depth: 7, Brief: 6,
		},
		{
			Name: "shares", About: "the same with shares of a window",
			Founders: 2, Spec: ledger.Spec{Kind: ledger.Windowed, Amount: 12, Calendar: ledger.Calendar{Length: 3_600_000}}, Shares: []ledger.Shares{half / 2}, Heirs: [][2]int{{0, 1}, {1, 0}, {1, 1}},
			Most: HeirCosts{Gifts: 2, Ticks: 1, Holds: 2, Claims: 2}, Depth: 5, Brief: 4,
		},
		{
			Name: "members", About: "the number of members falls below four",
			Founders: 1, Spec: grant, Calls: []ledger.Tokens{4}, Rights: []ledger.Tokens{10}, Heirs: [][2]int{{0, 1}}, Members: true,
			Most: HeirCosts{Calls: 3, Gifts: 1, Ticks: 1, Holds: 1, Claims: 1, Faults: 1}, Depth: 5, Brief: 4,
		},
		{
			Name: "word", About: "a node dies without guardians, and an operator vouches for it; gifts of it and to it are on their way",
			Founders: 1, Spec: grant, Shares: []ledger.Shares{half / 2}, Word: true,
			Most: HeirCosts{Gifts: 2, Ticks: 1, Faults: 2}, Depth: 8, Brief: 6,
		},
	}
}
