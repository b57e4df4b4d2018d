package demo

import (
	"encoding/json"

	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

// chatOverhead is what a chat with one message costs beside its text, as the nodes count it: three
// tokens for the message, one for its role, three for the reply. A test holds it against the counter.
const chatOverhead = 7

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type chatBody struct {
	Model     string        `json:"model"`
	Messages  []chatMessage `json:"messages"`
	MaxTokens int64         `json:"max_tokens"`
	Stream    bool          `json:"stream,omitempty"`
}

type completionBody struct {
	Model     string `json:"model"`
	Prompt    string `json:"prompt"`
	MaxTokens int64  `json:"max_tokens"`
	Stream    bool   `json:"stream,omitempty"`
}

// request makes the path and body of a call; its prompt counts exactly c.Prompt tokens. Prompts too
// short for the chat format go as plain completions.
func request(c Call, index int) (path string, body []byte) {
	var v any
	from := int64(index) // so that not all prompts begin alike
	if c.Prompt >= chatOverhead {
		path = "/chat/completions"
		v = chatBody{modelName, []chatMessage{{"user", standin.Text(from, c.Prompt-chatOverhead)}}, c.Limit, c.Stream}
	} else {
		path = "/completions"
		v = completionBody{modelName, standin.Text(from, c.Prompt), c.Limit, c.Stream}
	}
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a request cannot be written: " + err.Error())
	}
	return path, body
}
