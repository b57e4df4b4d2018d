package document

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Shape is what may stand in one kind of mapping. The parser and the JSON Schema are both made from
// these tables, so they cannot disagree on names.
type Shape struct {
	Name   string // as errors call it: "a budget"
	Fields []Field
}

// Field is one field of a mapping.
type Field struct {
	Name     string
	Doc      string // one line for editors
	Required bool
	Is       Schema // for the JSON Schema
}

// Schema is the little of JSON Schema that documents need.
type Schema struct {
	Kind  string   // "string", "integer", "number", "boolean", "amount", "any", "object"
	Words []string // the only strings allowed
	Form  string   // regular expression
	Min   int      // of an integer, if Max is not 0
	Max   int
	List  *Shape  // array of it
	Items *Schema // array of these
	Names bool    // array of strings, without repeats
	One   *Shape  // mapping
	Each  *Schema // mapping from names to it
	Keys  string  // regular expression of those names; "": NameForm
	Other *Schema // or this
}

// Regular expressions for what scalars look like.
const (
	NameForm     = `^[A-Za-z0-9][A-Za-z0-9._-]*$`
	DurationForm = `^([0-9]+d)?([0-9.]+(ms|s|m|h))*$`
	DelayForm    = `^([0-9]+d)?([0-9.]+(us|µs|ms|s|m|h))*$`
	PercentForm  = `^[0-9_]+(\.[0-9_]+)?%$`
	RateForm     = `^[0-9_]+(\.[0-9_]+)?[kKMGBT]?/(s|m|h|d)$`
	// TextForm is any text that is not empty.
	TextForm = `.`
	// PatternForm is a name, or how names begin: with a star at the end. It may hold what a name of YAML may not.
	PatternForm = `^[^@*\s]*\*?$`
	AmountForm  = `^[0-9_]+(\.[0-9_]+)?[kKMGBT]?$`
)

// Schemas of scalars.
var (
	Text     = Schema{Kind: "string"}
	Name     = Schema{Kind: "string", Form: NameForm}
	Duration = Schema{Kind: "string", Form: DurationForm}
	Delay    = Schema{Kind: "string", Form: DelayForm}
	Percent  = Schema{Kind: "string", Form: PercentForm}
	Amount   = Schema{Kind: "amount", Form: AmountForm}
)

// Find returns the field of that name.
func (s *Shape) Find(name string) (Field, bool) {
	for _, f := range s.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// Names lists the fields that this version has.
func (s *Shape) Names() []string {
	var list []string
	for _, f := range s.Fields {
		list = append(list, f.Name)
	}
	return list
}

// JSONSchema writes the JSON Schema (draft 2020-12) of documents of that shape.
func (s *Shape) JSONSchema(title string) []byte {
	m := s.json()
	m["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	m["title"] = title
	out, err := json.MarshalIndent(m, "", "  ") // sorts keys
	if err != nil {
		panic(fmt.Sprintf("BUG: the schema of %s: %v", title, err))
	}
	return append(out, '\n')
}

func (s *Shape) json() map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range s.Fields {
		p := f.Is.json()
		p["description"] = f.Doc
		properties[f.Name] = p
		if f.Required {
			required = append(required, f.Name)
		}
	}
	m := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		m["required"] = required
	}
	return m
}

func (s Schema) json() map[string]any {
	m := map[string]any{}
	switch {
	case s.List != nil:
		m = map[string]any{"type": "array", "minItems": 1, "items": s.List.json()}
	case s.Items != nil:
		m = map[string]any{"type": "array", "minItems": 1, "items": s.Items.json()}
	case s.Names:
		m = map[string]any{"type": "array", "minItems": 1, "uniqueItems": true,
			"items": map[string]any{"type": "string", "pattern": s.Form}}
	case s.One != nil:
		m = s.One.json()
	case s.Each != nil:
		m = map[string]any{"type": "object", "minProperties": 1,
			"propertyNames": map[string]any{"pattern": cmp.Or(s.Keys, NameForm)}, "additionalProperties": s.Each.json()}
	case s.Kind == "amount":
		m = map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 1, "maximum": int64(ledger.MaxTokens)},
			map[string]any{"type": "string", "pattern": s.Form},
		}}
	case s.Kind == "any":
		m["type"] = []string{"string", "number"}
	default:
		m["type"] = s.Kind
		if s.Words != nil {
			m["enum"] = s.Words
		}
		if s.Form != "" {
			m["pattern"] = s.Form
		}
		if s.Max > 0 {
			m["minimum"], m["maximum"] = s.Min, s.Max
		}
	}
	if s.Other != nil {
		m = map[string]any{"anyOf": []any{m, s.Other.json()}}
	}
	return m
}
