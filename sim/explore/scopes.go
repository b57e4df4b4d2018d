package explore

import "github.com/swarmpurse/swarmpurse/ledger"

const half, third = ledger.TotalShares / 2, ledger.TotalShares / 3

// Scopes are the worlds that are explored. Together they have every rule meet every fault; one alone has few enough
// actions to be explored to a depth at which rules interact.
func Scopes() []Scope {
	grant := ledger.Spec{Kind: ledger.Grant, Amount: 200}
	window := ledger.Spec{Kind: ledger.Windowed, Amount: 12, Calendar: ledger.Calendar{Length: 10_000}}
	long := window
	long.Calendar.Length = 200_000
	rolling := window
	rolling.RolloverPPM = 500_000
	few, more := window, window
	few.Amount, more.Amount = 5, 7
	rate := ledger.Spec{Kind: ledger.Rate, Amount: 40, Per: 10, PerMillis: 1000, Lend: 3000}
	soft, rotting := grant, grant
	soft.Ceiling, soft.OverdraftPPM = ledger.Soft, 300_000
	rotting.HalfLife = 3000
	less := func(s ledger.Spec) ledger.Spec { s.Amount /= 2; return s }
	return []Scope{
		{
			Name: "transfer", About: "rights wander in batches of several inputs, while messages are lost, repeated and reordered",
			Founders: 1, Specs: []ledger.Spec{grant}, Rights: []ledger.Tokens{60}, Batches: true,
			Most: Costs{Rights: 4}, Depth: 11, Brief: 8, Rest: 40,
		},
		{
			Name: "crash", About: "calls, settlements and gifts, while disks fail and nodes crash before and after the write",
			Founders: 1, Specs: []ledger.Spec{grant}, Calls: []ledger.Tokens{4}, Used: []int64{0, 150}, Rights: []ledger.Tokens{60},
			Ticks: true, Faults: true, Most: Costs{Calls: 3, Rights: 2, Faults: 2}, Depth: 6, Brief: 4, Rest: 40,
		},
		{
			Name: "disk", About: "batches of several inputs, calls while the disk writes, writes that fail",
			Founders: 2, Specs: []ledger.Spec{grant}, Calls: []ledger.Tokens{4}, Used: []int64{0}, Rights: []ledger.Tokens{80},
			Ticks: true, Faults: true, Batches: true, Meanwhile: true,
			Most: Costs{Calls: 2, Rights: 2, Faults: 2}, Depth: 6, Brief: 5, Rest: 40,
		},
		{
			Name: "window", About: "shares wander while windows turn, by clocks that differ",
			Founders: 2, Specs: []ledger.Spec{window}, Shares: []ledger.Shares{half, third}, Steps: []ledger.Millis{10_000}, Skew: 20_000,
			Ticks: true, Most: Costs{Shares: 3, Steps: 6}, Depth: 6, Brief: 4, Rest: 40,
		},
		{
			Name: "rollover", About: "rights roll over while shares and rights wander and clocks differ",
			Founders: 1, Specs: []ledger.Spec{rolling}, Calls: []ledger.Tokens{5}, Used: []int64{0}, Rights: []ledger.Tokens{6}, Shares: []ledger.Shares{half},
			Turns: []ledger.Millis{10_000, 20_000}, Skew: 20_000,
			Most: Costs{Calls: 1, Rights: 1, Shares: 2, Steps: 5}, Depth: 7, Brief: 5, Rest: 40,
		},
		{
			Name: "free", About: "free shares gather and issue at once, while windows turn, limits change and others wander",
			Founders: 2, Specs: []ledger.Spec{few, more}, Shares: []ledger.Shares{ledger.TotalShares / 10, half},
			Turns: []ledger.Millis{10_000}, Skew: 10_000, Ticks: true,
			Most: Costs{Shares: 3, Steps: 3, Policies: 1}, Depth: 5, Brief: 4, Rest: 40,
		},
		{
			Name: "turn", About: "nodes crash and disks fail around the turn of a window",
			Founders: 2, Specs: []ledger.Spec{window}, Calls: []ledger.Tokens{3}, Used: []int64{0, 200}, Shares: []ledger.Shares{half},
			Steps: []ledger.Millis{10_000}, Skew: 10_000, Ticks: true, Faults: true,
			Most: Costs{Calls: 2, Shares: 1, Steps: 3, Faults: 1}, Depth: 5, Brief: 4, Rest: 40,
		},
		{
			Name: "slots", About: "slots are lent, and forgotten in crashes until their time is over",
			Founders: 1, Specs: []ledger.Spec{{Kind: ledger.Slots, Amount: 40}}, Calls: []ledger.Tokens{1}, Used: []int64{100}, Rights: []ledger.Tokens{10},
			Steps: []ledger.Millis{31_000}, Together: true, Ticks: true, Faults: true,
			Most: Costs{Calls: 3, Rights: 1, Steps: 2, Faults: 2}, Depth: 5, Brief: 4, Rest: 40,
		},
		{
			Name: "rate", About: "a rate is lent, refunded and given on with its shares",
			Founders: 1, Specs: []ledger.Spec{rate}, Calls: []ledger.Tokens{20}, Used: []int64{0}, Rights: []ledger.Tokens{20}, Shares: []ledger.Shares{half},
			Steps: []ledger.Millis{2000}, Together: true, Ticks: true, Faults: true,
			Most: Costs{Calls: 3, Rights: 2, Shares: 1, Steps: 3, Faults: 1}, Depth: 5, Brief: 4, Rest: 40,
		},
		{
			Name: "ask", About: "calls that lack rights ask for them; asks and answers are lost, repeated and late",
			Founders: 1, Specs: []ledger.Spec{grant}, Calls: []ledger.Tokens{30}, Used: []int64{0}, Asks: true, Ticks: true, Faults: true,
			Most: Costs{Calls: 3, Faults: 1}, Depth: 9, Brief: 6, Rest: 40,
		},
		{
			Name: "leave", About: "nodes leave and hand on rights, shares and seats; instances are first used before and after",
			Founders: 2, Specs: []ledger.Spec{grant}, Budgets: 1, Cold: true, Calls: []ledger.Tokens{1}, Leaving: true, Faults: true,
			Most: Costs{Calls: 3, Leaves: 2, Faults: 1}, Depth: 6, Brief: 5,
			Rest: 40,
		},
		{
			Name: "handover", About: "nodes leave and hand on rights and shares of accounts that all have",
			Founders: 2, Specs: []ledger.Spec{grant}, Calls: []ledger.Tokens{1}, Used: []int64{0}, Leaving: true, Ticks: true, Faults: true,
			Most: Costs{Calls: 1, Leaves: 3, Faults: 1}, Depth: 5, Brief: 4, Rest: 40,
		},
		{
			Name: "levels", About: "seats pass on while the limit falls and rises at each node at its own time, and part of it is spent",
			Founders: 2, Specs: []ledger.Spec{grant, less(grant)}, Calls: []ledger.Tokens{70}, Used: []int64{0}, Leaving: true, Ticks: true, Faults: true,
			Most: Costs{Calls: 1, Leaves: 2, Policies: 3, Faults: 1}, Depth: 5, Brief: 4, Rest: 40,
		},
		{
			Name: "policy", About: "the limit falls and rises at each node at its own time, with top-ups and crashes",
			Founders: 2, Specs: []ledger.Spec{grant, less(grant)}, Calls: []ledger.Tokens{60}, Used: []int64{0}, Rights: []ledger.Tokens{60}, TopUp: 50, Ticks: true, Faults: true,
			Most: Costs{Calls: 1, Rights: 1, TopUps: 1, Policies: 3, Faults: 1}, Depth: 5, Brief: 4, Rest: 40,
		},
		{
			Name: "lives", About: "instances are used, forgotten after their lives, and asked for again, by nodes whose clocks are minutes apart or put back, and that leave",
			Founders: 2, Specs: []ledger.Spec{window}, Budgets: 1, Life: 200_000, Cold: true, Calls: []ledger.Tokens{5},
			Turns: []ledger.Millis{320_000}, Skew: 400_000, Back: 400_000, Leaving: true, Ticks: true, Faults: true,
			Most: Costs{Calls: 2, Steps: 3, Leaves: 1, Faults: 1}, Depth: 5, Brief: 4, Rest: 40,
		},
		{
			Name: "renew", About: "one life follows another while calls of both run, overrun and are given rights, at clocks of which some are in one and some in the other",
			Founders: 2, Specs: []ledger.Spec{long}, Budgets: 2, Life: 200_000, Calls: []ledger.Tokens{5}, Used: []int64{0, 200}, Rights: []ledger.Tokens{4},
			Turns: []ledger.Millis{200_000, 120_000}, Skew: 320_000, Back: 320_000, Ticks: true, Faults: true,
			Most: Costs{Calls: 2, Rights: 1, Steps: 3, Faults: 1}, Depth: 4, Brief: 4, Rest: 40,
		},
		{
			Name: "soft", About: "a soft limit is overdrawn, each node its part, with gifts, overruns and crashes",
			Founders: 1, Specs: []ledger.Spec{soft}, Calls: []ledger.Tokens{40}, Used: []int64{0, 130}, Rights: []ledger.Tokens{60},
			Ticks: true, Faults: true, Most: Costs{Calls: 4, Rights: 1, Faults: 1}, Depth: 7, Brief: 4, Rest: 40,
		},
		{
			Name: "decay", About: "rights decay and are burned while they are lent, reserved and on the way, and while nodes are down",
			Founders: 1, Specs: []ledger.Spec{rotting}, Calls: []ledger.Tokens{30}, Used: []int64{0}, Rights: []ledger.Tokens{60}, Burn: 30,
			Turns: []ledger.Millis{3000}, Skew: 3000, Faults: true, Most: Costs{Calls: 2, Rights: 2, TopUps: 1, Steps: 3, Faults: 1}, Depth: 6, Brief: 5, Rest: 40,
		},
		{
			Name: "offer", About: "borrowed rights of a rate are offered back, asked for and given on, late and in vain",
			Founders: 1, Specs: []ledger.Spec{rate}, Calls: []ledger.Tokens{20}, Used: []int64{0}, Rights: []ledger.Tokens{20}, Offers: true,
			Steps: []ledger.Millis{2000}, Together: true, Faults: true,
			Most: Costs{Calls: 2, Rights: 1, Steps: 2, Offers: 2, Faults: 1}, Depth: 6, Brief: 5, Rest: 40,
		},
		{
			Name: "digests", About: "rows are lost, and come by comparing digests, from their owners and from others, over crashes",
			Founders: 1, Specs: []ledger.Spec{grant}, Calls: []ledger.Tokens{1}, Rows: true, Digests: true, Ticks: true, Faults: true,
			Most: Costs{Calls: 2, Digests: 3, Faults: 1}, Depth: 7, Brief: 5, Rest: 40,
		},
		{
			Name: "rows", About: "rows carry versions that are durable and new, over crashes",
			Founders: 1, Specs: []ledger.Spec{grant}, Calls: []ledger.Tokens{1}, Rows: true, Ticks: true, Faults: true,
			Most: Costs{Calls: 2, Faults: 2}, Depth: 9, Brief: 6, Rest: 20,
		},
	}
}
