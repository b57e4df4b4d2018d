package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// MaxErrors bounds how many mistakes of one document are reported; the rest is only counted.
const MaxErrors = 20

// Pos is a place in a document. Line and Column count from 1, Column in characters; both are 0
// when the mistake has no place of its own (a document that is too large, say).
type Pos struct {
	File   string
	Line   int
	Column int
}

func (p Pos) String() string {
	file := p.File
	if file == "" {
		file = "document"
	}
	if p.Line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, p.Line, p.Column)
}

// Error is one mistake in a document: where it is, what is wrong, and what to write instead.
type Error struct {
	Pos     Pos
	Message string
	Advice  string // "" when the message says it all
}

// Error is the mistake on one line, as compilers write it: `file:line:column: message; advice`.
func (e *Error) Error() string {
	s := e.Pos.String() + ": " + e.Message
	if e.Advice != "" {
		s += "; " + e.Advice
	}
	return s
}

// Errors is every mistake that was found, in the order of the document, at most MaxErrors.
type Errors struct {
	List []*Error
	More int // how many were left out
}

// Error has one mistake a line.
func (e *Errors) Error() string {
	lines := make([]string, 0, len(e.List)+1)
	for _, one := range e.List {
		lines = append(lines, one.Error())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As the single mistakes.
func (e *Errors) Unwrap() []error {
	list := make([]error, len(e.List))
	for i, one := range e.List {
		list[i] = one
	}
	return list
}

// maxCollected bounds the memory that a document full of mistakes costs. It is larger than MaxErrors
// so that those shown are the first of the document although they are found in another order.
const maxCollected = 1000

func (e *Errors) add(one *Error) {
	if len(e.List) >= maxCollected {
		e.More++
		return
	}
	e.List = append(e.List, one)
}

// result sorts, drops what is said twice of one place, and cuts; nil when there is no mistake.
func (e *Errors) result() error {
	if len(e.List) == 0 {
		return nil
	}
	slices.SortStableFunc(e.List, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	e.List = slices.CompactFunc(e.List, func(a, b *Error) bool { return *a == *b })
	if extra := len(e.List) - MaxErrors; extra > 0 {
		e.More += extra
		e.List = e.List[:MaxErrors]
	}
	return e
}

// Nearest returns the word of the list that name was probably meant to be, or "".
func Nearest(name string, words []string) string {
	best, bestDist := "", 3
	if len(name) <= 3 {
		bestDist = 2
	}
	for _, w := range words {
		if strings.EqualFold(w, name) {
			return w
		}
		if d := distance(name, w, bestDist); d < bestDist {
			best, bestDist = w, d
		}
	}
	return best
}

// distance is the optimal string alignment distance (insert, delete, replace, swap of neighbours), or
// limit when it is at least that.
func distance(a, b string, limit int) int {
	if len(a) > len(b)+limit || len(b) > len(a)+limit {
		return limit
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return min(prev[len(b)], limit)
}

// DidYouMean is advice for an unknown name: the one meant if one is near, and all of them otherwise.
func DidYouMean(name string, words []string) string {
	if w := Nearest(name, words); w != "" {
		return fmt.Sprintf("did you mean %q?", w)
	}
	if len(words) == 0 {
		return ""
	}
	const most = 12
	if len(words) > most {
		return fmt.Sprintf("known are %s and %d more", strings.Join(words[:most], ", "), len(words)-most)
	}
	return "known: " + strings.Join(words, ", ")
}
