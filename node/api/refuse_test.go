package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
)

// TestRefusals sends what is wrong and expects an error in our form that names the fault, and a node
// in which nothing has changed.
func TestRefusals(t *testing.T) {
	many := func(n int, entry string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = fmt.Sprintf(entry, i)
		}
		return strings.Join(parts, ",")
	}
	long := strings.Repeat("x", 2000)
	tests := []struct {
		name, call, body string
		headers          []string
		status           int
		code, param, msg string
	}{
		{"no status of a provider", "POST /v1/release", `{"id":"a","upstream":{}}`, nil, 400, "out_of_range", "upstream.status", "from 100 to 599"},
		{"a wait of years", "POST /v1/settle", `{"id":"a","upstream":{"status":429,"retry_after_ms":86400001}}`, nil, 400, "out_of_range", "upstream.retry_after_ms", "between 0 and 86400000"},
		{"more than all remains", "POST /v1/settle", `{"id":"a","upstream":{"status":200,"remaining":1.5}}`, nil, 400, "out_of_range", "upstream.remaining", "between 0 and 1"},
		{"a provider's word on nothing", "POST /v1/release", `{"id":"a","upstream":{"status":429}}`, nil, 404, "unknown_id", "", "unknown reservation"},
		{"empty body", "POST /v1/admit", "", nil, 400, "malformed_json", "", "the body is empty"},
		{"malformed", "POST /v1/admit", `{"tenant": nope}`, nil, 400, "malformed_json", "", "at byte 13"},
		{"cut off", "POST /v1/admit", `{"tenant":"a"`, nil, 400, "malformed_json", "", "unexpected end"},
		{"trailing garbage", "POST /v1/admit", `{} x`, nil, 400, "malformed_json", "", "after top-level value"},
		{"two objects", "POST /v1/admit", `{}{}`, nil, 400, "malformed_json", "", "after top-level value"},
		{"an array", "POST /v1/admit", `[1]`, nil, 400, "wrong_type", "", "must be a JSON object, not an array"},
		{"null", "POST /v1/admit", `null`, nil, 400, "wrong_type", "", "must be a JSON object"},
		{"random bytes", "POST /v1/admit", "\x00\xff\x13\x37", nil, 400, "malformed_json", "", "at byte 1"},
		{"tenant a number", "POST /v1/admit", `{"tenant":7}`, nil, 400, "wrong_type", "tenant", "must be a string, not number"},
		{"prompt a string", "POST /v1/admit", `{"prompt_tokens":"7"}`, nil, 400, "wrong_type", "prompt_tokens", "must be an integer from 0"},
		{"prompt a fraction", "POST /v1/admit", `{"prompt_tokens":1.5}`, nil, 400, "wrong_type", "prompt_tokens", "not number 1.5"},
		{"prompt negative", "POST /v1/admit", `{"prompt_tokens":-1}`, nil, 400, "out_of_range", "prompt_tokens", "is -1"},
		{"prompt above 2^53", "POST /v1/admit", `{"prompt_tokens":9007199254740992}`, nil, 400, "out_of_range", "prompt_tokens", "from 0 to 9007199254740991"},
		{"output above int64", "POST /v1/admit", `{"max_output_tokens":99999999999999999999}`, nil, 400, "wrong_type", "max_output_tokens", "not number 99999999999999999999"},
		{"tokens a list", "POST /v1/admit", `{"tokens":[1]}`, nil, 400, "wrong_type", "tokens", "must be an object, not an array"},
		{"tokens negative", "POST /v1/admit", `{"tokens":{"compute":-5}}`, nil, 400, "out_of_range", "tokens.compute", "is -5"},
		{"tokens null", "POST /v1/admit", `{"tokens":{"compute":null}}`, nil, 400, "wrong_type", "tokens.compute", "not null"},
		{"tokens a string", "POST /v1/admit", `{"tokens":{"compute":"9"}}`, nil, 400, "wrong_type", "tokens.compute", "\"tokens.compute\" must be an integer"},
		{"tokens a fraction", "POST /v1/admit", `{"tokens":{"a":1,"compute":1.5}}`, nil, 400, "wrong_type", "tokens.compute", "not number 1.5"},
		{"tokens too large for 64 bits", "POST /v1/admit", `{"tokens":{"compute":9223372036854775808}}`, nil, 400, "wrong_type", "tokens.compute", "must be an integer from 0 to 9007199254740991"},
		{"tokens a number", "POST /v1/admit", `{"tokens":9}`, nil, 400, "wrong_type", "tokens", "must be an object"},
		{"tokens unnamed", "POST /v1/admit", `{"tokens":{"":9}}`, nil, 400, "invalid_request", "tokens", "empty name"},
		{"tokens long name", "POST /v1/admit", `{"tokens":{"` + long + `":9}}`, nil, 400, "too_long", "tokens", "2000 bytes"},
		{"too many tokens", "POST /v1/admit", `{"tokens":{` + many(17, `"t%d":1`) + `}}`, nil, 400, "too_many", "tokens", "17 entries: at most 16"},
		{"too many data", "POST /v1/admit", `{"data":[` + many(257, `"d%d"`) + `]}`, nil, 400, "too_many", "data", "at most 256"},
		{"long data", "POST /v1/admit", `{"data":["` + long + `"]}`, nil, 400, "too_long", "data[0]", "at most 417"},
		{"long data, short digest", "POST /v1/admit", `{"data":["` + long[:300] + `@sha256:00"]}`, nil, 400, "invalid_request", "data", "at most 256"},
		{"data with no digest", "POST /v1/admit", `{"data":["eu/docs@latest"]}`, nil, 400, "invalid_request", "data", "must be a digest"},
		{"data without a name", "POST /v1/admit", `{"data":[""]}`, nil, 400, "invalid_request", "data", "is empty"},
		{"decisions of nothing", "GET /v1/decisions", "", nil, 400, "missing_field", "data", "/v1/decisions?data=eu/docs"},
		{"decisions of no data", "GET /v1/decisions?data=eu@1", "", nil, 400, "invalid_request", "data", "must be a digest"},
		{"all decisions", "GET /v1/decisions?data=eu&limit=10001", "", nil, 400, "out_of_range", "limit", "from 1 to 10000"},
		{"a slow upstream", "POST /v1/settle", `{"id":"x","upstream":{"status":200,"latency_ms":-1}}`, nil, 400, "out_of_range", "upstream.latency_ms", "between 0 and"},
		{"data of numbers", "POST /v1/admit", `{"data":[1]}`, nil, 400, "wrong_type", "data", "must be a string"},
		{"too many attributes", "POST /v1/admit", `{"attributes":{` + many(65, `"a%d":""`) + `}}`, nil, 400, "too_many", "attributes", "at most 64"},
		{"long attribute", "POST /v1/admit", `{"attributes":{"a":"` + long + `"}}`, nil, 400, "too_long", "attributes.a", "at most 1024"},
		{"attribute an object", "POST /v1/admit", `{"attributes":{"a":{}}}`, nil, 400, "wrong_type", "attributes.a", "must be a string, not an object"},
		{"long tenant", "POST /v1/admit", `{"tenant":"` + long + `"}`, nil, 400, "too_long", "tenant", "2000 bytes: at most 256"},
		{"long key", "POST /v1/admit", `{"idempotency_key":"` + long + `"}`, nil, 400, "too_long", "idempotency_key", "at most 256"},
		{"wait a number", "POST /v1/admit", `{"wait":250}`, nil, 400, "wrong_type", "wait", "must be a string"},
		{"wait without unit", "POST /v1/admit", `{"wait":"250"}`, nil, 400, "invalid_request", "wait", `like "250ms"`},
		{"wait negative", "POST /v1/admit", `{"wait":"-1s"}`, nil, 400, "out_of_range", "wait", "negative"},
		{"ttl zero", "POST /v1/admit", `{"ttl":"0s"}`, nil, 400, "out_of_range", "ttl", "above 0"},
		{"ttl too long", "POST /v1/admit", `{"ttl":"61m"}`, nil, 400, "out_of_range", "ttl", "at most 1h0m0s"},
		{"10 MB", "POST /v1/admit", `{"tenant":"` + strings.Repeat("x", 10<<20) + `"}`, nil, 413, "body_too_large", "", "at most 1048576 bytes"},
		{"a form", "POST /v1/admit", `{}`, []string{"Content-Type: application/x-www-form-urlencoded"}, 415, "unsupported_media_type", "", "--json instead of -d"},
		{"text", "POST /v1/settle", `{}`, []string{"Content-Type: text/plain"}, 415, "unsupported_media_type", "", "send application/json"},
		{"no content type", "POST /v1/mint", `{}`, []string{"Content-Type: "}, 415, "unsupported_media_type", "", "is missing"},
		{"foreign host", "POST /v1/admit", `{}`, []string{"Host: evil.example"}, 421, "host_not_allowed", "", `"evil.example"`},
		{"foreign host reads", "GET /v1/budgets", ``, []string{"Host: evil.example:7070"}, 421, "host_not_allowed", "", "reverse proxy"},
		{"another address", "GET /v1/budgets", ``, []string{"Host: 10.0.0.1"}, 421, "host_not_allowed", "", "loopback"},
		{"foreign page", "POST /v1/admit", `{}`, []string{"Sec-Fetch-Site: cross-site"}, 403, "cross_origin", "", "another origin"},
		{"foreign origin", "POST /v1/admit", `{}`, []string{"Origin: http://evil.example"}, 403, "cross_origin", "", "another origin"},
		{"settle without id", "POST /v1/settle", `{}`, nil, 400, "missing_field", "id", "the id that admit answered"},
		{"settle unknown id", "POST /v1/settle", `{"id":"nobody"}`, nil, 404, "unknown_id", "", `"nobody"`},
		{"settle long id", "POST /v1/settle", `{"id":"` + long + `"}`, nil, 400, "too_long", "id", "at most 256"},
		{"settle negative", "POST /v1/settle", `{"id":"a","used":{"compute":-1}}`, nil, 400, "out_of_range", "used.compute", "is -1"},
		{"settle overflowing", "POST /v1/settle", `{"id":"a","used":{"compute":9223372036854775807}}`, nil, 400, "out_of_range", "used.compute", "it must be"},
		{"usage of nobody", "POST /v1/settle", `{"id":"a","usage":{"total":4}}`, nil, 400, "missing_field", "usage", "input_tokens"},
		{"usage negative", "POST /v1/settle", `{"id":"a","usage":{"prompt_tokens":-4}}`, nil, 400, "out_of_range", "usage.prompt_tokens", "is -4"},
		{"usage sum overflows", "POST /v1/settle", `{"id":"a","usage":{"input_tokens":9007199254740991,"cache_read_input_tokens":1}}`, nil, 400, "out_of_range", "usage.input_tokens", "it must be"},
		{"usage a string", "POST /v1/settle", `{"id":"a","usage":{"output_tokens":"x"}}`, nil, 400, "wrong_type", "usage.output_tokens", "must be an integer"},
		{"long outcome", "POST /v1/settle", `{"id":"a","outcome":"` + long + `"}`, nil, 400, "too_long", "outcome", "at most 64"},
		{"release unknown id", "POST /v1/release", `{"id":"nobody"}`, nil, 404, "unknown_id", "", ""},
		{"release without id", "POST /v1/release", `{"id":""}`, nil, 400, "missing_field", "id", ""},
		{"mint unknown budget", "POST /v1/mint", `{"budget":"tin","amount":5,"id":"1"}`, nil, 404, "unknown_budget", "", "the policy has: pot"},
		{"mint nothing", "POST /v1/mint", `{"budget":"pot","id":"1"}`, nil, 400, "missing_field", "amount", ""},
		{"mint zero", "POST /v1/mint", `{"budget":"pot","amount":0,"id":"1"}`, nil, 400, "out_of_range", "amount", "above 0"},
		{"mint negative", "POST /v1/mint", `{"budget":"pot","amount":-5,"id":"1"}`, nil, 400, "out_of_range", "amount", "is -5"},
		{"mint text", "POST /v1/mint", `{"budget":"pot","amount":"5","id":"1"}`, nil, 400, "wrong_type", "amount", ""},
		{"mint budget a number", "POST /v1/mint", `{"budget":1,"amount":5,"id":"1"}`, nil, 400, "wrong_type", "budget", ""},
		{"mint without id", "POST /v1/mint", `{"budget":"pot","amount":5}`, nil, 400, "missing_field", "id", "a retry is safe"},
		{"mint with a key", "POST /v1/mint", `{"budget":"pot","amount":5,"id":"1","key":["a"]}`, nil, 400, "invalid_request", "", "give no key"},
		{"mint by name", "POST /v1/mint", `{"amount":5,"id":"1"}`, nil, 400, "missing_field", "budget", ""},
		{"freeze nothing", "POST /v1/freeze", `{"why":"x"}`, nil, 400, "missing_field", "", `send "instance"`},
		{"freeze two things", "POST /v1/freeze", `{"instance":"pot","agent":"a"}`, nil, 400, "invalid_request", "instance", "stands alone"},
		{"freeze a number", "POST /v1/freeze", `{"tenant":7}`, nil, 400, "wrong_type", "tenant", "must be a string"},
		{"freeze a long name", "POST /v1/freeze", `{"tenant":"` + long + `"}`, nil, 400, "too_long", "tenant", "at most 256"},
		{"freeze unknown budget", "POST /v1/freeze", `{"instance":"tin"}`, nil, 404, "unknown_budget", "", ""},
		{"unfreeze nothing", "POST /v1/unfreeze", `{}`, nil, 400, "missing_field", "", `send "instance"`},
		{"wrong method on a freeze", "PUT /v1/freeze", "", nil, 405, "method_not_allowed", "", "use GET, HEAD, POST"},
		{"unknown budget", "GET /v1/budgets/tin", "", nil, 404, "unknown_budget", "", ""},
		{"unknown decision", "GET /v1/decisions/x", "", nil, 404, "unknown_id", "", ""},
		{"unknown class", "POST /v1/admit", `{"class":"royal"}`, nil, 400, "invalid_request", "class", "no class"},
		{"escaped id", "GET /v1/decisions/a%2Fb", "", nil, 404, "unknown_id", "", `"a/b"`},
		{"unknown path", "GET /v2/admit", "", nil, 404, "unknown_path", "", `"/v2/admit"`},
		{"root", "GET /", "", nil, 404, "unknown_path", "", "the dashboard is /ui/"},
		{"proxy not mounted", "POST /openai/v1/chat/completions", "{}", nil, 404, "unknown_path", "", ""},
		{"wrong method", "GET /v1/admit", "", nil, 405, "method_not_allowed", "", "use POST"},
		{"wrong method on two", "DELETE /v1/policy", "", nil, 405, "method_not_allowed", "", "use GET, HEAD, PUT"},
		{"empty policy", "PUT /v1/policy", "", nil, 400, "missing_field", "", "send the policy's YAML"},
		{"long policy", "PUT /v1/policy", strings.Repeat("#", api.MaxBody+1), nil, 413, "body_too_large", "", ""},
		{"faults off", "POST /debug/faults", "{}", nil, 403, "disabled", "", "start the node with --faults"},
	}
	node := apitest.New(10_000)
	ts, _ := start(t, api.Options{Node: node})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method, path, _ := strings.Cut(tt.call, " ")
			resp, body := send(t, ts, method, path, tt.body, tt.headers...)
			var got struct {
				Error *struct {
					Message, Type, Code string
					Param               *string
				}
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil || got.Error == nil {
				t.Fatalf("status %d, not our form: %.200s", resp.StatusCode, body)
			}
			param := ""
			if got.Error.Param != nil {
				param = *got.Error.Param
			}
			if resp.StatusCode != tt.status || got.Error.Code != tt.code || param != tt.param || !strings.Contains(got.Error.Message, tt.msg) {
				t.Errorf("got  %d %s %q %q\nwant %d %s %q …%q…", resp.StatusCode, got.Error.Code, param, got.Error.Message,
					tt.status, tt.code, tt.param, tt.msg)
			}
			if got.Error.Type == "" || len(got.Error.Message) > 500 || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("type %q, message of %d bytes, content type %q", got.Error.Type, len(got.Error.Message), resp.Header.Get("Content-Type"))
			}
			if (resp.StatusCode == http.StatusMethodNotAllowed) != (resp.Header.Get("Allow") != "") {
				t.Errorf("Allow: %q with status %d", resp.Header.Get("Allow"), resp.StatusCode)
			}
		})
	}
	limit, spent, reserved := node.Totals()
	if limit != 10_000 || spent != 0 || reserved != 0 || node.Policy().Revision != 1 {
		t.Errorf("refused requests changed the node: limit %d, spent %d, reserved %d, revision %d", limit, spent, reserved, node.Policy().Revision)
	}
}

// TestDisabledSaysItAll: what is off is said by the message, with how to have it on; a hint for one thing would be wrong for the next.
func TestDisabledSaysItAll(t *testing.T) {
	if h := (&api.Error{Code: api.ErrCodeDisabled, Message: "this cluster runs without encryption; start the nodes with --keyring FILE"}).Hint(); h != "" {
		t.Errorf("the hint is %q", h)
	}
}
