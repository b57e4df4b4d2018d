package policy

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
)

//go:embed policy.schema.json
var schemaSource []byte

// Schema is the JSON Schema (draft 2020-12) of documents, for editors. It knows the form of a document
// but not what its parts say of each other: Parse is stricter. The caller must not change it.
func Schema() []byte { return schemaSource }

// makeSchema writes the schema from the tables that the parser works by. A test keeps the embedded
// file equal to it.
func makeSchema() []byte {
	s := documentShape.schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "swarmpurse policy"
	out, err := json.MarshalIndent(s, "", "  ") // sorts keys
	if err != nil {
		panic(fmt.Sprintf("BUG: the policy schema: %v", err))
	}
	return append(out, '\n')
}

func (s *shape) schema() map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range s.fields {
		if f.later {
			continue
		}
		p := f.is.json()
		p["description"] = f.doc
		properties[f.name] = p
		if f.required {
			required = append(required, f.name)
		}
	}
	m := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		m["required"] = required
	}
	return m
}

func (s schema) json() map[string]any {
	m := map[string]any{}
	switch {
	case s.list != nil:
		m = map[string]any{"type": "array", "minItems": 1, "items": s.list.schema()}
	case s.names:
		m = map[string]any{"type": "array", "minItems": 1, "uniqueItems": true,
			"items": map[string]any{"type": "string", "pattern": s.form}}
	case s.one != nil:
		m = s.one.schema()
	case s.each != nil:
		m = map[string]any{"type": "object", "minProperties": 1,
			"propertyNames": map[string]any{"pattern": nameForm}, "additionalProperties": s.each.json()}
	case s.kind == "amount":
		m = map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 1, "maximum": int64(ledger.MaxTokens)},
			map[string]any{"type": "string", "pattern": s.form},
		}}
	case s.kind == "any":
		m["type"] = []string{"string", "number"}
	default:
		m["type"] = s.kind
		if s.words != nil {
			m["enum"] = s.words
		}
		if s.form != "" {
			m["pattern"] = s.form
		}
		if s.max > 0 {
			m["minimum"], m["maximum"] = s.min, s.max
		}
	}
	if s.other != nil {
		m = map[string]any{"anyOf": []any{m, s.other.json()}}
	}
	return m
}
