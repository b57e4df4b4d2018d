package bare

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// Handler decodes and encodes the JSON of admit and settle with encoding/json: no bounds, no fence, no metrics, no decision.
func Handler() http.Handler {
	mux := http.NewServeMux()
	var next atomic.Int64
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("POST /v1/admit", func(w http.ResponseWriter, r *http.Request) {
		var req api.AdmitRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		cost := ledger.Tokens(req.PromptTokens + req.MaxOutputTokens)
		reply(w, api.AdmitAnswer{
			ID: "bare-" + strconv.FormatInt(next.Add(1), 10), Decision: "admit", Code: "ok", Reason: "rights at hand",
			Reserved: map[string]ledger.Tokens{"pool": cost, "tenant-month": cost}, Policy: api.PolicyRef{Revision: 1}, Node: "bare",
		})
	})
	mux.HandleFunc("POST /v1/settle", func(w http.ResponseWriter, r *http.Request) {
		var req api.SettleRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n := req.Used["compute"]
		reply(w, api.Receipt{ID: req.ID, Charged: map[string]ledger.Tokens{"pool": n, "tenant-month": n}})
	})
	return mux
}
