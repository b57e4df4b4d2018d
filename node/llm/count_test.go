package llm

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tiktoken-go/tokenizer"
)

var testCounter = NewCounter() // encoders take a while to load

func TestEncodingOf(t *testing.T) {
	for model, want := range map[string]int{
		"": o200k, "gpt-4o-mini": o200k, "gpt-4.1": o200k, "gpt-5": o200k, "o3-mini": o200k, "llama-3": o200k,
		"gpt-4": cl100k, "gpt-4-turbo": cl100k, "gpt-3.5-turbo-0125": cl100k, "text-embedding-3-large": cl100k,
		"ft:gpt-4o:acme": o200k, "ft:gpt-3.5-turbo:acme": cl100k, "openai/gpt-4": cl100k,
		"text-davinci-003": p50k, "code-davinci-002": p50k, "davinci": r50k, "text-ada-001": r50k, "davinci-002": cl100k,
	} {
		if got := encodingOf(model); got != want {
			t.Errorf("%q: %s, want %s", model, encodings[got], encodings[want])
		}
	}
}

// Cutting a long text into windows changes no count of ordinary text.
func TestWindowsCountExactly(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 0))
	parts := []string{"the", "Swarm", "don't", "1234567", "naïve", "日本語のテキスト", "…", "x+=1;", "\n\n", "    if (a) {\n", "ABCdef", "🙂🙂"}
	for range 20 {
		var b strings.Builder
		for b.Len() < 4*window {
			b.WriteString(parts[dice.IntN(len(parts))])
			if dice.IntN(4) > 0 {
				b.WriteByte(' ')
			}
		}
		for enc, name := range encodings {
			codec, err := tokenizer.Get(name)
			if err != nil {
				t.Fatal(err)
			}
			want, err := codec.Count(b.String())
			if err != nil {
				t.Fatal(err)
			}
			model := []string{"gpt-4o", "gpt-4", "text-davinci-003", "davinci"}[enc]
			if got := testCounter.Text(model, b.String()); got != int64(want) {
				t.Errorf("%s: %d tokens in windows, %d at once", name, got, want)
			}
		}
	}
}

// Text without a place to cut costs a bounded number of tokens more, and bounded time.
func TestWindowsOfOddText(t *testing.T) {
	for name, s := range map[string]string{
		"one letter": strings.Repeat("a", 3*window), "digits": strings.Repeat("7", 3*window),
		"blanks": strings.Repeat(" \n", 2*window), "wide blanks": strings.Repeat("\u00a0\n", 2*window),
		"wide": strings.Repeat("語", 2*window), "not UTF-8": strings.Repeat("\xff\xfe", window),
	} {
		got := testCounter.Text("gpt-4o", s)
		if got <= 0 || got > int64(len(s)) {
			t.Errorf("%s: %d tokens of %d bytes", name, got, len(s))
		}
	}
}

func TestVeryLongTextIsEstimated(t *testing.T) {
	s := strings.Repeat("All work and no play makes a dull swarm. ", 2*MaxExact/40)
	got := testCounter.Text("gpt-4o", s)
	if per := float64(len(s)) / float64(got); per > 4.5 || per < 3 {
		t.Errorf("%d tokens of %d bytes", got, len(s))
	}
}

func TestCountChat(t *testing.T) {
	text := func(s string) int64 { return testCounter.Text("gpt-4o", s) }
	user := perMessage + text("user")
	for _, x := range []struct {
		name, body string
		want       int64
	}{
		{"no message", `{"messages":[]}`, replyPriming},
		{"one", `{"messages":[{"role":"user","content":"How are you?"}]}`, replyPriming + user + text("How are you?")},
		{"a name", `{"messages":[{"role":"user","name":"bob","content":"hi"}]}`, replyPriming + user + perName + text("bob") + text("hi")},
		{"parts", `{"messages":[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"u","detail":"low"}},{"type":"image_url","image_url":{"url":"u"}}]}]}`,
			replyPriming + user + text("hi") + imageLow + imageHigh},
		{"tools", `{"messages":[],"tools":[{"type":"function"}]}`, replyPriming + text(`[{"type":"function"}]`)},
		{"a repeated field counts twice", `{"messages":[{"role":"user","content":"hi","content":"there"}]}`, replyPriming + user + text("hi") + text("there")},
		{"an unknown field counts", `{"messages":[{"role":"user","Content":"hi"}]}`, replyPriming + user + text("hi")},
	} {
		if got := testCounter.Chat("gpt-4o", x.body); got != x.want {
			t.Errorf("%s: %d, want %d", x.name, got, x.want)
		}
	}
}

func TestCountInputs(t *testing.T) {
	for _, x := range []struct {
		body           string
		tokens, inputs int64
	}{
		{`{"prompt":"hello world"}`, 2, 1},
		{`{"prompt":["hello world","hello"]}`, 3, 2},
		{`{"prompt":[1,2,3]}`, 3, 1},
		{`{"prompt":[[1,2],[3]]}`, 3, 2},
		{`{"prompt":[]}`, 0, 1},
		{`{}`, 0, 1},
	} {
		if n, k := testCounter.Completions("gpt-4o", x.body); n != x.tokens || k != x.inputs {
			t.Errorf("%s: %d tokens of %d prompts, want %d of %d", x.body, n, k, x.tokens, x.inputs)
		}
	}
}

// Every byte costs something, alone and in a row: also the one that the tokenizer's tables lack.
func TestEveryByteCounts(t *testing.T) {
	for _, model := range []string{"gpt-4o", "gpt-4", "text-davinci-003", "davinci"} {
		for b := range 256 {
			if n := testCounter.Text(model, string([]byte{byte(b)})); n != 1 {
				t.Errorf("%s: byte %#x is %d tokens", model, b, n)
			}
		}
		if n := testCounter.Text(model, strings.Repeat("\x7f", 1000)); n != 1000 {
			t.Errorf("%s: 1000 of them are %d tokens", model, n)
		}
	}
}
