package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/build"
	"math"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

// TestAnswerIsItsType: what the encoder appends is what encoding/json reads into wire.go's types.
func TestAnswerIsItsType(t *testing.T) {
	budgets := rapid.SampledFrom([]string{"pot", "tenant-day", "a\"b\\c\n\t\x01\x7f", "é世\U0001F600", ""})
	prices := map[string]policy.PPM{"pot": 1_500_000, "tenant-day": 1, "a\"b\\c\n\t\x01\x7f": 1_000_000_000_000, "": 1_000_000} // one has none
	charge := rapid.Custom(func(t *rapid.T) admit.Charge {
		b := budgets.Draw(t, "budget")
		return admit.Charge{Budget: b, Amount: ledger.Tokens(rapid.Int64Range(0, int64(ledger.MaxTokens)).Draw(t, "amount")), Price: prices[b]}
	})
	sum := func(charges []admit.Charge) map[string]ledger.Tokens {
		m := map[string]ledger.Tokens{}
		for _, c := range charges {
			m[c.Budget] += c.Amount
		}
		return m
	}
	rapid.Check(t, func(t *rapid.T) {
		a := admit.Answer{
			ID: rapid.String().Draw(t, "id"), Verdict: admit.Verdict(rapid.IntRange(1, 4).Draw(t, "verdict")),
			Reserved: rapid.SliceOfN(charge, 0, 6).Draw(t, "reserved"),
			Reason:   rapid.String().Draw(t, "reason"), Code: "ok", Node: "n1",
			RetryAfter: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "retry")),
			Waited:     time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "waited")),
			Revision:   rapid.Int64().Draw(t, "revision"), Level: rapid.IntRange(0, 3).Draw(t, "level"),
		}
		if rapid.Bool().Draw(t, "degraded") {
			a.Advice = &admit.Advice{Model: rapid.String().Draw(t, "model"), MaxOutputTokens: rapid.Int64Range(0, 1<<53).Draw(t, "output")}
		}
		if rapid.Bool().Draw(t, "routed") {
			a.Upstream = &policy.Upstream{Name: rapid.String().Draw(t, "upstream")}
		}
		if rapid.Bool().Draw(t, "elsewhere") {
			a.Nearest = &admit.Neighbor{Name: "n2", Zone: rapid.String().Draw(t, "zone"), HTTP: "http://x", RTT: time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "rtt"))}
		}
		out := appendAnswer(nil, &a)
		var got AdmitAnswer
		dec := json.NewDecoder(bytes.NewReader(out))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want := AdmitAnswer{
			ID: a.ID, Decision: a.Verdict.String(), Reserved: sum(a.Reserved), Price: a.Prices(), Reason: a.Reason, Code: a.Code,
			RetryAfterMS: int64(math.Ceil(float64(a.RetryAfter) / 1e6)), Policy: PolicyRef{a.Revision, a.Arm}, Node: a.Node,
			WaitedMS: float64(a.Waited.Microseconds()) / 1000, Backpressure: a.Level,
		}
		want.Advice = AdviceOf(&a)
		if len(want.Price) == 0 {
			want.Price = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v\nfrom %s", got, want, out)
		}
		r := admit.Receipt{ID: a.ID, Charged: a.Reserved, Overrun: 5, Repeated: true, Late: rapid.Bool().Draw(t, "late")}
		var gotR Receipt
		dec = json.NewDecoder(bytes.NewReader(appendReceipt(nil, &r)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&gotR); err != nil {
			t.Fatal(err)
		}
		if wantR := (Receipt{r.ID, sum(r.Charged), 5, true, r.Late}); !reflect.DeepEqual(gotR, wantR) {
			t.Fatalf("got  %+v\nwant %+v", gotR, wantR)
		}
	})
}

func TestAppendStringAsEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		ours := appendString(nil, s)
		theirs, _ := json.Marshal(s)
		var a, b string
		if err := json.Unmarshal(ours, &a); err != nil {
			t.Fatalf("%v: %q", err, ours)
		}
		if err := json.Unmarshal(theirs, &b); err != nil || a != b {
			t.Fatalf("%q became %q, encoding/json makes it %q", s, a, b)
		}
	})
}

// FuzzDecodeAdmit: whatever the bytes, an error names a status of 400, and what is accepted is within
// every bound.
func FuzzDecodeAdmit(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"tenant":"a","agent":"b","run":"c","class":"d","model":"e"}`,
		`{"prompt_tokens":1200,"max_output_tokens":600,"tokens":{"compute":1800,"data":2}}`,
		`{"data":["eu/docs"],"attributes":{"k":"v"},"wait":"250ms","ttl":"60s","idempotency_key":"k"}`,
		`{"tokens":{"compute":null}}`, `{"prompt_tokens":1e3}`, `{"wait":"-1s"}`, `{"tenant":"\ud800"}`, "{\"tenant\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r admit.Request
		if err := decodeAdmit(body, &r); err != nil {
			checkRefusal(t, err)
			if !reflect.DeepEqual(r, admit.Request{}) {
				t.Errorf("refused, but filled: %+v", r)
			}
			return
		}
		if !json.Valid(body) {
			t.Errorf("accepted, but no JSON: %q", body)
		}
		checkAmounts(t, r.Tokens)
		for _, n := range []int64{r.PromptTokens, r.MaxOutputTokens} {
			if n < 0 || n > int64(ledger.MaxTokens) {
				t.Errorf("amount %d", n)
			}
		}
		for _, s := range append([]string{r.Tenant, r.Agent, r.Run, r.Class, r.Model, r.IdempotencyKey}, r.Data...) {
			if len(s) > policy.MaxFieldLen {
				t.Errorf("string of %d bytes", len(s))
			}
		}
		if len(r.Data) > policy.MaxData || len(r.Attributes) > policy.MaxAttributes {
			t.Errorf("%d data sets, %d attributes", len(r.Data), len(r.Attributes))
		}
		if r.TTL < 0 || r.TTL > admit.MaxTTL || (r.Wait < 0 && r.Wait != admit.UseClassDefault) {
			t.Errorf("ttl %v, wait %v", r.TTL, r.Wait)
		}
	})
}

func FuzzDecodeSettle(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"id":"a"}`, `{"id":"a","used":{"compute":1432},"outcome":"ok"}`,
		`{"id":"a","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":0}}}`,
		`{"id":"a","usage":{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":9007199254740991}}`,
		`{"id":"a","usage":null}`, `{"id":"a","usage":{}}`, `{"id":"a","used":{"compute":-1}}`,
		`{"id":"a","upstream":{"status":429,"retry_after_ms":1500,"remaining":0.25}}`, `{"id":"a","upstream":{"status":0,"remaining":1e400}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		id, s, told, err := decodeSettle(body)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if id == "" || len(id) > maxIDLen || len(s.Outcome) > maxOutcomeLen {
			t.Errorf("id of %d bytes, outcome of %d", len(id), len(s.Outcome))
		}
		checkAmounts(t, s.Used)
		if told != nil && (told.RetryAfter < 0 || told.RetryAfter > 24*time.Hour || !(told.Left >= 0 && told.Left <= 1)) {
			t.Errorf("upstream %+v", *told)
		}
		if u := s.Usage; u != nil && (u.PromptTokens < 0 || u.CompletionTokens < 0 ||
			u.PromptTokens > int64(ledger.MaxTokens) || u.CompletionTokens > int64(ledger.MaxTokens)) {
			t.Errorf("usage %+v", *u)
		}
	})
}

func FuzzDecodeOperatorCalls(f *testing.F) {
	f.Add([]byte(`{"budget":"pot","key":["a"],"amount":5,"id":"1","why":"w"}`))
	f.Add([]byte(`{"drop":["n1","*"],"delay":{"n2":"50ms"},"clock":"-30s"}`))
	f.Add([]byte(`{"id":"a"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := decodeMint(body, "mint")
		if err != nil {
			checkRefusal(t, err)
		} else if m.Amount <= 0 || m.Amount > ledger.MaxTokens || m.ID == "" || m.Budget == "" || len(m.Key) > maxMintKeys {
			t.Errorf("mint %+v", m)
		}
		faults, err := decodeFaults(body)
		if err != nil {
			checkRefusal(t, err)
		}
		for _, d := range faults.Delay {
			if _, derr := time.ParseDuration(d); err == nil && derr != nil {
				t.Errorf("delay %q", d)
			}
		}
		if d, derr := time.ParseDuration(faults.Clock); err == nil && faults.Clock != "" && (derr != nil || d.Abs() > maxFaultClock) {
			t.Errorf("clock %q", faults.Clock)
		}
		if _, _, err := decodeRelease(body); err != nil {
			checkRefusal(t, err)
		}
		q, err := decodeRemove(body)
		if err != nil {
			checkRefusal(t, err)
		} else if len(q.Also) >= ledger.MaxVouched || len(q.Stock) > ledger.MaxStated || !q.Dead && q.Unseen {
			t.Errorf("remove %+v", q)
		}
		z, err := decodeFreeze(body)
		if err != nil {
			checkRefusal(t, err)
		} else if z.Instance == "" && z.Tenant == "" && z.Agent == "" || z.Instance != "" && z.Tenant != "" {
			t.Errorf("freeze %+v", z)
		}
	})
}

// FuzzDecodeApply: the query of a new policy says what it says again, or is refused.
func FuzzDecodeApply(f *testing.F) {
	for _, s := range []string{"canary=10%25&by=agent&why=x", "whole=true", "whole=true&canary=5%25", "why=a&why=b", "canery=1", "%zz", "zones=a,b&bake=10m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		r, err := decodeApply(q)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		again, err := url.ParseQuery(strings.TrimPrefix(r.query(), "?"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeApply(again); err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%q is %+v, which is %q, which is %+v: %v", s, r, r.query(), got, err)
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Status != 400 || e.Code == "" || e.Message == "" || len(e.Message) > maxMessageLen+8 {
		t.Errorf("refused with %#v", err)
	}
	if !json.Valid(fromNode(err).body()) {
		t.Errorf("the error of %v is no JSON", err)
	}
}

func checkAmounts(t *testing.T, amounts []policy.Amount) {
	t.Helper()
	if len(amounts) > policy.MaxStatedTokens {
		t.Errorf("%d amounts", len(amounts))
	}
	for i, a := range amounts {
		if a.Amount < 0 || a.Amount > ledger.MaxTokens || a.Token == "" || len(a.Token) > maxTokenNameLen || i > 0 && amounts[i-1].Token >= a.Token {
			t.Errorf("amounts %+v", amounts)
		}
	}
}

// TestImports keeps the door a door: it knows the words of ledger, policy and admit, and nothing of
// gossip, storage or the node behind it.
func TestImports(t *testing.T) {
	const module = "github.com/swarmpurse/swarmpurse/"
	allowed := map[string]bool{
		module + "ledger": true, module + "policy": true, module + "policy/trust": true, module + "policy/enrol": true, module + "node/admit": true, module + "node/events": true, module + "node/caller": true, module + "node/api/ui": true,
		"github.com/prometheus/client_golang/prometheus": true, "github.com/rs/zerolog": true, "golang.org/x/net/netutil": true,
		"github.com/dustin/go-humanize": true, // commas in numbers
	}
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pkg.Imports {
		if strings.Contains(path, ".") && !allowed[path] {
			t.Errorf("imports %s", path)
		}
	}
}
