package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/caller"
)

func (s *Server) admit(w http.ResponseWriter, r *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	body, err := s.jsonBody(w, r, buf)
	if err != nil {
		return err
	}
	var req admit.Request
	if err := decodeAdmit(body, &req); err != nil {
		return err
	}
	if err := s.calls.Fix(caller.From(r.Context()), &req); err != nil {
		return err
	}
	req.Trace = admit.ParseTrace(r.Header.Get("Traceparent"))
	answer, err := s.node.Admit(r.Context(), &req)
	if err != nil {
		return err
	}
	w.Header()[headerBackpressure] = levelHeader(answer.Level)
	status := http.StatusOK
	if !answer.Verdict.Admitted() {
		status = http.StatusTooManyRequests
		if answer.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.FormatInt(ceilDiv(answer.RetryAfter, time.Second), 10))
		}
	}
	// The request's strings are copies, so its buffer can carry the answer.
	*buf = appendAnswer(body[:0], &answer)
	writeBody(w, status, *buf)
	return nil
}

func (s *Server) settle(w http.ResponseWriter, r *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	body, err := s.jsonBody(w, r, buf)
	if err != nil {
		return err
	}
	id, settlement, upstream, err := decodeSettle(body)
	if err != nil {
		return err
	}
	receipt, err := s.calls.Settle(caller.From(r.Context()), id, settlement, upstream)
	if err != nil {
		return err
	}
	*buf = appendReceipt(body[:0], &receipt)
	writeBody(w, http.StatusOK, *buf)
	return nil
}

func (s *Server) release(w http.ResponseWriter, r *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	body, err := s.jsonBody(w, r, buf)
	if err != nil {
		return err
	}
	id, upstream, err := decodeRelease(body)
	if err != nil {
		return err
	}
	receipt, err := s.calls.Release(caller.From(r.Context()), id, upstream)
	if err != nil {
		return err
	}
	*buf = appendReceipt(body[:0], &receipt)
	writeBody(w, http.StatusOK, *buf)
	return nil
}

func (s *Server) mint(w http.ResponseWriter, r *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	body, err := s.jsonBody(w, r, buf)
	if err != nil {
		return err
	}
	m, err := decodeMint(body, "mint")
	if err != nil {
		return err
	}
	m.By = by(r)
	if m.Signature, err = signatureOf(r); err != nil {
		return err
	}
	receipt, err := s.node.Mint(r.Context(), m)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, receipt)
}

func (s *Server) burn(w http.ResponseWriter, r *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	body, err := s.jsonBody(w, r, buf)
	if err != nil {
		return err
	}
	m, err := decodeMint(body, "burn")
	if err != nil {
		return err
	}
	m.By = by(r)
	if m.Signature, err = signatureOf(r); err != nil {
		return err
	}
	receipt, err := s.node.Burn(r.Context(), BurnRequest(m))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, receipt)
}

func (s *Server) budgets(w http.ResponseWriter, r *http.Request) error {
	list := budgetList{Budgets: s.node.Budgets(ViewOf(r.Context()))}
	if list.Budgets == nil {
		list.Budgets = []Budget{}
	}
	return writeJSON(w, http.StatusOK, list)
}

func (s *Server) members(w http.ResponseWriter, _ *http.Request) error {
	list := memberList{Members: s.node.Members()}
	if list.Members == nil {
		list.Members = []Member{}
	}
	return writeJSON(w, http.StatusOK, list)
}

func (s *Server) removeMember(w http.ResponseWriter, r *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	body, err := s.jsonBody(w, r, buf)
	if err != nil {
		return err
	}
	q, err := decodeRemove(body)
	if err != nil {
		return err
	}
	q.Name, q.By = r.PathValue("name"), by(r)
	if q.Signature, err = signatureOf(r); err != nil {
		return err
	}
	if err := checkLen("name", q.Name, ledger.MaxNameLen); err != nil {
		return err
	}
	receipt, err := s.node.RemoveMember(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, receipt)
}

// freezeTo answers /v1/freeze and /v1/unfreeze.
func (s *Server) freezeTo(on bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		buf := buffers.Get().(*[]byte)
		defer putBuffer(buf)
		body, err := s.jsonBody(w, r, buf)
		if err != nil {
			return err
		}
		q, err := decodeFreeze(body)
		if err != nil {
			return err
		}
		q.By = by(r)
		if q.Signature, err = signatureOf(r); err != nil {
			return err
		}
		receipt, err := s.node.Freeze(r.Context(), q, on)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, receipt)
	}
}

func (s *Server) frozen(w http.ResponseWriter, r *http.Request) error {
	list := frozenList{Frozen: s.node.Frozen(ViewOf(r.Context()))}
	if list.Frozen == nil {
		list.Frozen = []Frozen{}
	}
	return writeJSON(w, http.StatusOK, list)
}

func (s *Server) decision(w http.ResponseWriter, r *http.Request) error {
	id, v := r.PathValue("id"), ViewOf(r.Context())
	d, err := s.node.Decision(id)
	if !v.All {
		err = s.calls.theirs(v, id, d.Tenant, err)
		d.conceal()
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, d)
}

// policy answers JSON, or the document alone with `Accept: application/yaml` or ?raw=1.
func (s *Server) policy(w http.ResponseWriter, r *http.Request) error {
	p := s.node.Policy()
	if !wantsYAML(r) {
		return writeJSON(w, http.StatusOK, p)
	}
	h := w.Header()
	h.Set("Content-Type", "application/yaml")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(p.Source))
	return nil
}

func wantsYAML(r *http.Request) bool {
	if raw, err := strconv.ParseBool(r.URL.Query().Get("raw")); err == nil {
		return raw
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/yaml") && !strings.Contains(accept, "application/json")
}

// putPolicy takes the document as it is, whatever media type the tool at hand names: browsers ask
// before they send a PUT across origins, and are refused.
func (s *Server) putPolicy(w http.ResponseWriter, r *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	body, err := s.readBody(w, r, buf)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return badRequest(ErrCodeMissing, "", "the body is empty: send the policy's YAML")
	}
	q, err := decodeApply(r.URL.Query())
	if err != nil {
		return err
	}
	q.Source, q.By = append([]byte(nil), body...), by(r)
	if q.Signature, err = signatureOf(r); err != nil {
		return err
	}
	p, err := s.node.ApplyPolicy(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, p)
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, s.node.Status())
}

// health says that the process answers, nothing more: what restarts a node must not do so because a
// peer is away.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	writeBody(w, http.StatusOK, []byte(`{"status":"ok"}`+"\n"))
	return nil
}

// ready gives the reasons to those only who need no key: they name peers.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) error {
	st := s.node.Status()
	status := http.StatusOK
	if !st.Ready {
		status = http.StatusServiceUnavailable
	}
	if locked(r) {
		st.Reasons = nil
	}
	return writeJSON(w, status, readiness{Ready: st.Ready, Reasons: st.Reasons})
}

func (s *Server) faults(w http.ResponseWriter, r *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	body, err := s.jsonBody(w, r, buf)
	if err != nil {
		return err
	}
	f, err := decodeFaults(body)
	if err != nil {
		return err
	}
	if err := s.node.SetFaults(f); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, f)
}

// by names who asked: the caller whose key it was, and where it came from.
func by(r *http.Request) string {
	from := r.RemoteAddr
	if from == "" || from == "@" {
		from = "unix socket"
	}
	if c := caller.From(r.Context()); c != nil {
		return c.Name + " (" + from + ")"
	}
	return from
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err // a NaN that a Node gave us
	}
	writeBody(w, status, append(body, '\n'))
	return nil
}
