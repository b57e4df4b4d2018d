package ledger

import "math"

// LatestWindow is the window that counts, which is the latest that anybody is in: a row of an older one has nothing of it.
func LatestWindow(rows []Known) Window {
	window := Window(-1 << 62)
	for _, k := range rows {
		window = max(window, k.Window)
	}
	return window
}

// UsedPPM is the part of an instance's limit that is spent or reserved in the swarm, as rows tell it, in parts per million. What was spent of a rate is no
// part of its bucket: of one that is what is not there of the parts of those that have opened it.
func UsedPPM(spec *Spec, rows []Known) int64 {
	if spec.Kind == Rate {
		return emptyPPM(spec, rows)
	}
	window, limit, sum := LatestWindow(rows), float64(spec.Amount), 0.0
	for _, k := range rows {
		if k.Window == window {
			limit += float64(k.Minted + k.Inherited)
			sum += float64(k.Spent) + float64(k.Reserved)
		}
	}
	if limit <= 0 {
		return 0
	}
	return int64(sum / limit * 1e6)
}

func emptyPPM(spec *Spec, rows []Known) int64 {
	var shares Shares
	rights := 0.0
	for _, k := range rows {
		shares += k.Shares
		rights += float64(max(0, k.Balance()))
	}
	if spec.Amount <= 0 {
		return 0
	}
	return int64(math.Round(max(0, float64(shares)/float64(TotalShares)-rights/float64(spec.Amount)) * 1e6))
}
