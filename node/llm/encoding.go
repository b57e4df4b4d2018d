package llm

import (
	"runtime"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer"
)

// Counter counts tokens as OpenAI's models do. Its encoders are loaded on first use (some 60 ms and
// 10 MiB each, shared by all Counters). It is safe for concurrent use.
type Counter struct {
	encoders [len(encodings)]struct {
		once  sync.Once
		codec tokenizer.Codec
	}
	// big admits a few large texts at a time, so that counting them cannot take every core.
	big   chan struct{}
	bytes bool // it tokenizes nothing, see bounds
}

// bounds counts like any other Counter, but for texts, which it takes for as many tokens as they have bytes: no token covers less than one. What it counts is never less
// than what another one does, and takes no longer than going through the JSON text.
var bounds = &Counter{bytes: true}

// aboutBytes is how many bytes a token has, about: for what is not tokenized.
const aboutBytes = 4

// NewCounter returns a Counter that has loaded nothing yet.
func NewCounter() *Counter {
	return &Counter{big: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

const (
	// MaxExact is how many bytes of one call's text are tokenized; the rest is estimated at the same
	// tokens per byte, at least one for every four bytes. Some 250,000 tokens of English.
	MaxExact = 1 << 20

	// bigText is the size from which a text waits for its turn.
	bigText = 64 << 10

	// window is how much text goes to the tokenizer at once. Windows end where its split pattern ends
	// a piece anyway (between a letter and a space before a letter), which changes no count; text
	// without such a place is cut at the window's end, which may add a token.
	window = 8 << 10

	// maxBlank cuts longer runs of white space: the tokenizer's pattern takes quadratic time on mixed
	// ones (a megabyte of them takes minutes).
	maxBlank = 256
)

var encodings = [...]tokenizer.Encoding{
	tokenizer.O200kBase, tokenizer.Cl100kBase, tokenizer.P50kBase, tokenizer.R50kBase,
}

const (
	o200k = iota
	cl100k
	p50k
	r50k
)

// byPrefix gives the encoding of a model by the first prefix that fits.
var byPrefix = []struct {
	prefix string
	enc    int
}{
	{"gpt-4o", o200k}, {"gpt-4.", o200k}, {"gpt-4", cl100k},
	{"gpt-3.5", cl100k}, {"gpt-35", cl100k}, {"text-embedding-", cl100k},
	{"davinci-002", cl100k}, {"babbage-002", cl100k},
	{"text-davinci-003", p50k}, {"text-davinci-002", p50k}, {"code-", p50k},
	{"text-", r50k}, {"davinci", r50k}, {"curie", r50k}, {"babbage", r50k}, {"ada", r50k},
}

// encodingOf is o200k_base for every model that is not known to use another.
func encodingOf(model string) int {
	model = bare(model)
	for _, m := range byPrefix {
		if strings.HasPrefix(model, m.prefix) {
			return m.enc
		}
	}
	return o200k
}

func bare(model string) string {
	return strings.TrimPrefix(strings.TrimPrefix(model, "openai/"), "ft:")
}

// newer are how names begin of models that use o200k_base and are not in byPrefix.
var newer = [...]string{"gpt-5", "o1", "o3", "o4", "chatgpt-4o"}

// tokenizerKnown reports whether a model's tokenizer is one of ours: what we count for another is an estimate.
func tokenizerKnown(model string) bool {
	model = bare(model)
	for _, m := range byPrefix {
		if strings.HasPrefix(model, m.prefix) {
			return true
		}
	}
	for _, p := range newer {
		if rest, ok := strings.CutPrefix(model, p); ok && (rest == "" || rest[0] == '-' || rest[0] == '.') {
			return true
		}
	}
	return false
}

func (c *Counter) codec(enc int) tokenizer.Codec {
	e := &c.encoders[enc]
	e.once.Do(func() {
		codec, err := tokenizer.Get(encodings[enc])
		if err != nil {
			panic("BUG: no encoding " + string(encodings[enc]) + ": " + err.Error())
		}
		e.codec = codec
	})
	return e.codec
}

// Text returns the number of tokens of a text for a model.
func (c *Counter) Text(model, text string) int64 {
	t := c.tally(model)
	t.text(text)
	return t.total()
}

// tally adds up the texts of one call, within the bound on exact counting.
type tally struct {
	c       *Counter
	codec   tokenizer.Codec
	tokens  int64 // of text that was tokenized, and fixed amounts
	exact   int64 // bytes tokenized
	counted int64 // tokens of those
	rest    int64 // bytes only estimated
	media   bool  // there were images, audio or files
}

func (c *Counter) tally(model string) *tally {
	t := &tally{c: c}
	if !c.bytes {
		t.codec = c.codec(encodingOf(model))
	}
	return t
}

func (t *tally) add(n int64) { t.tokens += n }

func (t *tally) total() int64 {
	n := t.tokens + t.counted
	if t.c.bytes && t.exact > MaxExact {
		n++ // as below
	}
	if t.rest > 0 {
		byRatio := int64(float64(t.rest) * float64(t.counted) / float64(max(t.exact, 1)))
		n += max(byRatio, (t.rest+aboutBytes-1)/aboutBytes) + 1
	}
	return n
}

func (t *tally) text(s string) {
	if t.c.bytes {
		n := int64(len(s))
		t.exact += n
		if !utf8.ValidString(s) {
			n *= utf8.UTFMax - 1 // the tokenizer may see U+FFFD in place of a byte
		}
		t.counted += n
		return
	}
	if len(s) >= bigText {
		t.c.big <- struct{}{}
		defer func() { <-t.c.big }()
	}
	for len(s) > 0 {
		if t.exact >= MaxExact {
			t.rest += int64(len(s))
			return
		}
		n := cut(s)
		k, err := t.codec.Count(s[:n])
		if err != nil {
			// The split pattern has no error of its own but a match timeout, which is not set.
			k = n
		}
		// The tokenizer's tables lack this one byte, and it counts it as nothing.
		k += strings.Count(s[:n], "\x7f")
		t.counted += int64(k)
		t.exact += int64(n)
		s = s[n:]
	}
}

// cut returns how much of s goes to the tokenizer next: at least one byte, at most a window.
func cut(s string) int {
	limit := min(len(s), window)
	best, blanks, last := 0, 0, 0 // last: where the last whole character began
	for i, r := range s[:limit] {
		last = i
		if !unicode.IsSpace(r) {
			blanks = 0
			continue
		}
		if blanks++; blanks > maxBlank {
			return i
		}
		if r == ' ' && i > 0 && i+1 < len(s) && letter(s[i-1]) && letter(s[i+1]) {
			best = i
		}
	}
	switch {
	case limit == len(s):
		return limit
	case best > 0:
		return best
	case last > limit-utf8.UTFMax && utf8.RuneStart(s[last]) && last > 0:
		return last // it may be cut in two at the limit: leave it to the next window
	}
	return limit
}

func letter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
