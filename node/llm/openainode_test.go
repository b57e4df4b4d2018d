//go:build openainode

package llm_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
)

// TestOpenAINode runs the official client for Node against the proxy (make openai-node; go test ./... leaves it out): chats, streams, responses, models, and refusals, which it takes as they are meant.
func TestOpenAINode(t *testing.T) {
	dir, err := filepath.Abs("../../.ci/openai-node")
	if err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("no Node.js: install it")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "openai")); err != nil {
		t.Fatal("no openai-node: make openai-node installs it")
	}
	b := newBed(t, nil, nil)
	const after = 120 * time.Millisecond
	var mu sync.Mutex
	asked := map[string]int{}
	b.fake.answer = func(r *admit.Request) (admit.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[r.Model]++
		switch {
		case r.Model == "later" && asked[r.Model] == 1:
			return admit.Answer{ID: "d1", Verdict: admit.Defer, Code: admit.CodeExhausted, Reason: "no tokens are left", RetryAfter: after}, nil
		case r.Model == "never":
			return admit.Answer{ID: "d2", Verdict: admit.Deny, Code: admit.CodeNoRule, Reason: "no rule is for it"}, nil
		}
		return admit.Answer{Verdict: admit.Admit}, nil
	}
	cmd := exec.CommandContext(t.Context(), node, "testdata/openai-node.cjs", dir, b.url+"/openai/v1")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	type usage struct {
		Completion int64 `json:"completion_tokens"`
		Output     int64 `json:"output_tokens"`
	}
	type answer struct {
		Text, Decision string
		Chunks         int
		Usage          *usage
	}
	type refusal struct {
		Status                                             int
		Code, Type, Message, Kind, RetryAfter, ShouldRetry string
		Tokens                                             int64
		MS                                                 float64
	}
	var got struct {
		Chat           answer
		Plain          answer `json:"stream plain"`
		Usage          answer `json:"stream usage"`
		Response       answer
		ResponseStream answer `json:"response stream"`
		Models         []string
		Later, Never   refusal
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	words := func(name string, a answer) {
		if n := counter.Text("gpt-4o", a.Text); n != 7 {
			t.Errorf("%s: %d tokens came: %+v", name, n, a)
		}
	}
	words("chat", got.Chat)
	words("stream", got.Plain)
	words("stream with usage", got.Usage)
	words("response", got.Response)
	words("stream of a response", got.ResponseStream)
	if got.Chat.Decision == "" || got.Chat.Usage == nil || got.Chat.Usage.Completion != 7 {
		t.Errorf("chat: %+v", got.Chat)
	}
	if got.Plain.Usage != nil || got.Usage.Usage == nil || got.Usage.Usage.Completion != 7 || got.Usage.Chunks != got.Plain.Chunks+1 {
		t.Errorf("streams: %+v and %+v", got.Plain, got.Usage)
	}
	if got.Response.Usage == nil || got.Response.Usage.Output != 7 || got.ResponseStream.Usage == nil || got.ResponseStream.Usage.Output != 7 {
		t.Errorf("responses: %+v and %+v", got.Response, got.ResponseStream)
	}
	if len(got.Models) != 1 {
		t.Errorf("models: %v", got.Models)
	}
	// It waits as retry-after-ms says, not its own half second and more, and does not ask again where that is in vain.
	if l := got.Later; l.Status != 200 || l.Tokens != 7 || asked["later"] != 2 || l.MS < float64(after.Milliseconds()) {
		t.Errorf("refused for a while: %+v after %d calls", l, asked["later"])
	}
	if n := got.Never; n.Status != 429 || asked["never"] != 1 || n.Kind != "RateLimitError" || n.ShouldRetry != "false" || n.Code != "rate_limit_exceeded" || n.Type != "insufficient_quota" {
		t.Errorf("refused for good: %+v after %d calls", n, asked["never"])
	}
	b.agree(t)
}
