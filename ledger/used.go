package ledger

// LatestWindow is the window that counts, which is the latest that anybody is in: a row of an older one has nothing of it.
func LatestWindow(rows []Known) Window {
	window := Window(-1 << 62)
	for _, k := range rows {
		window = max(window, k.Window)
	}
	return window
}

// UsedPPM is the part of an instance's limit that is spent or reserved in the swarm, as rows tell it, in parts per million.
func UsedPPM(spec *Spec, rows []Known) int64 {
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
