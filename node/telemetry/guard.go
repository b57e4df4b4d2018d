package telemetry

import "github.com/prometheus/client_golang/prometheus"

// GuardState is a node's part in guarding, at a scrape. Counters are since the start, and only grow.
type GuardState struct {
	LeaseSeconds float64 // left; 0 without one
	LeaseLasts   float64 // that was renewed just now; 0 where no guardians are wanted
	Answering    int     // guardians that answer
	Silent       int     // and that do not
	Wards        int

	Notes, Acked, NoteBytes  uint64 // to guardians
	Stored, RefusedNotes     uint64 // of wards
	Begun, Decided, Rejected uint64 // claims of this node
	Learned                  uint64 // decisions that are known here
	Reclaimed                []TokenAmount
	Stuck                    []StuckState
}

// TokenAmount is what came back to this node of one token type.
type TokenAmount struct {
	Token          string
	Tokens, Shares int64
}

// StuckState is what dead generations hold of one token type for one reason.
type StuckState struct {
	Token, Reason  string
	Tokens, Shares int64
}

var (
	leaseSeconds  = Metric{"swarmpurse_lease_seconds", Gauge, "For how long this node may still mint rates without word from its guardians; 0 without a lease, or without guardians.", nil}
	leaseLasts    = Metric{"swarmpurse_lease_duration_seconds", Gauge, "What swarmpurse_lease_seconds is after each renewal, by the policy.", nil}
	guardians     = Metric{"swarmpurse_guardians", Gauge, "Guardians of this node, by whether they answer (answering, silent).", []string{labelState}}
	wards         = Metric{"swarmpurse_wards", Gauge, "Nodes that this node keeps copies for.", nil}
	notesTotal    = Metric{"swarmpurse_notes_total", Counter, "Notes to this node's guardians: sent (repeats included), acknowledged.", []string{labelResult}}
	noteBytes     = Metric{"swarmpurse_note_bytes_total", Counter, "Bytes of records in notes to guardians.", nil}
	notesReceived = Metric{"swarmpurse_notes_received_total", Counter, "Notes of wards: stored (they brought news), refused (the ward is being claimed).", []string{labelResult}}
	claimsTotal   = Metric{"swarmpurse_claims_total", Counter, "Claims of this node, of wards and of its own generations: begun, rejected (a ballot: outbid, or too early), decided.", []string{labelResult}}
	decisionsSeen = Metric{"swarmpurse_generations_claimed_total", Counter, "Generations that this node learned to be claimed since it started, by its own claims and from others.", nil}
	reclaimed     = Metric{"swarmpurse_reclaimed_tokens_total", Counter, "Rights of dead generations that came back to this node, as their heir or as the giver.", []string{labelToken}}
	reclaimedOf   = Metric{"swarmpurse_reclaimed_shares_total", Counter, "Shares of dead generations that came back to this node; an instance has 1,000,000,000.", []string{labelToken}}
	stuckTokens   = Metric{"swarmpurse_stuck_tokens", Gauge, "Rights that dead generations hold by their last rows, by why they are not back (unguarded, lease, own lease, claim, heir).", []string{labelReason, labelToken}}
	stuckShares   = Metric{"swarmpurse_stuck_shares", Gauge, "Shares that dead generations hold by their last rows, by why they are not back.", []string{labelReason, labelToken}}
)

var guardMetrics = []Metric{leaseSeconds, leaseLasts, guardians, wards, notesTotal, noteBytes, notesReceived, claimsTotal, decisionsSeen, reclaimed, reclaimedOf, stuckTokens, stuckShares}

// collect sends what g says. Token types come from the policy, so there are few; what is beyond MaxBudgets is "other".
func (g *GuardState) collect(send func(m Metric, v float64, labels ...string)) {
	send(leaseSeconds, g.LeaseSeconds)
	send(leaseLasts, g.LeaseLasts)
	send(guardians, float64(g.Answering), "answering")
	send(guardians, float64(g.Silent), "silent")
	send(wards, float64(g.Wards))
	send(notesTotal, float64(g.Notes), "sent")
	send(notesTotal, float64(g.Acked), "acknowledged")
	send(noteBytes, float64(g.NoteBytes))
	send(notesReceived, float64(g.Stored), "stored")
	send(notesReceived, float64(g.RefusedNotes), "refused")
	send(claimsTotal, float64(g.Begun), "begun")
	send(claimsTotal, float64(g.Decided), "decided")
	send(claimsTotal, float64(g.Rejected), "rejected")
	send(decisionsSeen, float64(g.Learned))
	back := map[string]TokenAmount{}
	for _, r := range g.Reclaimed {
		t := bounded(back, labelValue(r.Token))
		sum := back[t]
		back[t] = TokenAmount{t, sum.Tokens + r.Tokens, sum.Shares + r.Shares}
	}
	for t, r := range back {
		send(reclaimed, amount(r.Tokens), t)
		send(reclaimedOf, amount(r.Shares), t)
	}
	type key struct{ reason, token string }
	stuck := map[key]StuckState{}
	for _, s := range g.Stuck {
		k := key{labelValue(s.Reason), labelValue(s.Token)}
		if _, ok := stuck[k]; !ok && len(stuck) >= MaxBudgets {
			k.token = other
		}
		sum := stuck[k]
		stuck[k] = StuckState{Tokens: sum.Tokens + s.Tokens, Shares: sum.Shares + s.Shares}
	}
	for k, s := range stuck {
		send(stuckTokens, amount(s.Tokens), k.reason, k.token)
		send(stuckShares, amount(s.Shares), k.reason, k.token)
	}
}

// bounded is the label, or "other" where there are too many.
func bounded[V any](have map[string]V, label string) string {
	if _, ok := have[label]; !ok && len(have) >= MaxBudgets {
		return other
	}
	return label
}

func valueType(m Metric) prometheus.ValueType {
	if m.Type == Counter {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}
