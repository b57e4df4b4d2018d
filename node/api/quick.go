package api

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// The bodies of the two hot calls are read by hand if they are as plain as they nearly always are: known fields, each once; strings without
// escapes, small whole numbers, amounts by token type. All else, and whatever is wrong with a body, is encoding/json's; a test holds the two equal.

// quick reads one JSON object. Once it does not know how to go on it is lost, and says so at the end.
type quick struct {
	b    []byte
	at   int
	lost bool

	texts [quickTexts]quickText // strings that are wanted
	n     int
	bytes int // of them all
}

const (
	quickTexts  = 16
	quickDigits = 15 // of a number
)

// quickText is a string of the body, and where it goes.
type quickText struct {
	from, to int
	into     *string
}

func (q *quick) next() byte {
	for q.at < len(q.b) {
		switch c := q.b[q.at]; c {
		case ' ', '\t', '\r', '\n':
			q.at++
		default:
			return c
		}
	}
	q.lost = true
	return 0
}

// take takes one character.
func (q *quick) take(c byte) bool {
	if q.next() != c {
		return false
	}
	q.at++
	return true
}

func (q *quick) must(c byte) {
	if !q.take(c) {
		q.lost = true
	}
}

// raw is a string as it stands in the body.
func (q *quick) raw() (from, to int) {
	q.must('"')
	from = q.at
	plain := true
	for ; q.at < len(q.b) && !q.lost; q.at++ {
		switch c := q.b[q.at]; {
		case c == '"':
			to = q.at
			q.at++
			if !plain && !utf8.Valid(q.b[from:to]) {
				q.lost = true
			}
			return from, to
		case c < ' ' || c == '\\':
			q.lost = true
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	q.lost = true
	return 0, 0
}

func (q *quick) text(into *string) {
	from, to := q.raw()
	if q.n == len(q.texts) {
		q.lost = true
	}
	if !q.lost {
		q.texts[q.n] = quickText{from, to, into}
		q.n++
		q.bytes += to - from
	}
}

func (q *quick) number() (n int64) {
	negative := q.take('-')
	from := q.at
	for ; q.at < len(q.b); q.at++ {
		c := q.b[q.at]
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
		if q.at-from >= quickDigits {
			q.lost = true
			return 0
		}
	}
	switch digits := q.at - from; {
	case digits == 0, digits > 1 && q.b[from] == '0', q.at == len(q.b):
		q.lost = true
	case q.b[q.at] == '.' || q.b[q.at]|0x20 == 'e':
		q.lost = true
	}
	if negative {
		return -n
	}
	return n
}

// amounts reads an object of numbers, in the order of their names.
func (q *quick) amounts() (list []policy.Amount) {
	q.must('{')
	if q.take('}') {
		return nil
	}
	list = make([]policy.Amount, 0, 2)
	for more := true; more && !q.lost; more = q.take(',') {
		from, to := q.raw()
		q.must(':')
		q.next()
		n := q.number()
		if len(list) == policy.MaxStatedTokens || q.lost {
			q.lost = true
			return nil
		}
		list = append(list, policy.Amount{Token: string(q.b[from:to]), Amount: ledger.Tokens(n)})
	}
	q.must('}')
	slices.SortFunc(list, func(a, b policy.Amount) int { return strings.Compare(a.Token, b.Token) })
	for i := range list[min(1, len(list)):] {
		if list[i].Token == list[i+1].Token {
			q.lost = true
		}
	}
	return list
}

// object reads the body; field reads the value of one by its name, and gives its number, below 32, so that none comes twice; or below 0 if
// there is none of that name.
func (q *quick) object(field func(name []byte) int) bool {
	q.must('{')
	var seen uint32
	if !q.take('}') {
		for more := true; more && !q.lost; more = q.take(',') {
			from, to := q.raw()
			q.must(':')
			if q.next(); q.lost {
				return false
			}
			k := field(q.b[from:to])
			if k < 0 || seen&(1<<k) != 0 {
				return false
			}
			seen |= 1 << k
		}
		q.must('}')
	}
	if q.lost {
		return false
	}
	if q.next(); !q.lost { // something follows
		return false
	}
	// All strings are parts of one, which holds nothing else: some of them are kept for long.
	var all strings.Builder
	all.Grow(q.bytes)
	for _, t := range q.texts[:q.n] {
		all.Write(q.b[t.from:t.to])
	}
	s := all.String()
	for _, t := range q.texts[:q.n] {
		n := t.to - t.from
		*t.into, s = s[:n], s[n:]
	}
	return true
}

// quickAdmit reads the body of an admission into b, but for its tokens; false: use encoding/json.
func quickAdmit(body []byte, b *admitBody, tokens *[]policy.Amount) bool {
	q := quick{b: body}
	return q.object(func(name []byte) int {
		switch string(name) {
		case "tenant":
			q.text(&b.Tenant)
			return 0
		case "agent":
			q.text(&b.Agent)
			return 1
		case "run":
			q.text(&b.Run)
			return 2
		case "class":
			q.text(&b.Class)
			return 3
		case "model":
			q.text(&b.Model)
			return 4
		case "prompt_tokens":
			b.PromptTokens = q.number()
			return 5
		case "max_output_tokens":
			b.MaxOutputTokens = q.number()
			return 6
		case "tokens":
			*tokens = q.amounts()
			return 7
		case "wait":
			q.text(&b.Wait)
			return 8
		case "ttl":
			q.text(&b.TTL)
			return 9
		case "idempotency_key":
			q.text(&b.IdempotencyKey)
			return 10
		}
		return -1
	})
}

// quickSettle reads the body of a settlement into b, but for what was used; false: use encoding/json.
func quickSettle(body []byte, b *settleBody, used *[]policy.Amount) bool {
	q := quick{b: body}
	return q.object(func(name []byte) int {
		switch string(name) {
		case "id":
			q.text(&b.ID)
			return 0
		case "used":
			*used = q.amounts()
			return 1
		case "outcome":
			q.text(&b.Outcome)
			return 2
		}
		return -1
	})
}
