package guardian

import "slices"

// Candidate is a live peer that could be a guardian.
type Candidate struct {
	Holder     Holder
	Zone, Host string
}

// Choose picks guardians among live peers: n of them, or 3 if there are fewer than n; nil if there are not even 3. In one's
// own zone where it can, so that a zone that is cut off goes on; no two on one host nor any on one's own where it can, so
// that no host takes two of them with it. Beyond that by dice, so that all nodes guard about as many others. It changes cs.
func Choose(cs []Candidate, n int, zone, host string, dice func(n int) int) []Holder {
	if len(cs) < n {
		n = 3
	}
	if len(cs) < n {
		return nil
	}
	var set []Holder
	hosts := []string{host}
	for range n {
		best, least := 0, 4
		from := dice(len(cs))
		for k := range cs {
			i := (from + k) % len(cs)
			bad := 0
			if cs[i].Host != "" && slices.Contains(hosts, cs[i].Host) {
				bad += 2
			}
			if cs[i].Zone != zone {
				bad++
			}
			if bad < least {
				best, least = i, bad
			}
		}
		set = append(set, cs[best].Holder)
		hosts = append(hosts, cs[best].Host)
		cs = slices.Delete(cs, best, best+1)
	}
	slices.SortFunc(set, Holder.Compare)
	return set
}
