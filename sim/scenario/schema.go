package scenario

import _ "embed"

//go:embed scenario.schema.json
var schemaSource []byte

// Schema is the JSON Schema (draft 2020-12) of scenarios, for editors. It knows the form of a document but not
// what its parts say of each other: Parse is stricter. The caller must not change it.
func Schema() []byte { return schemaSource }

// makeSchema writes the schema from the tables that the parser works by. A test keeps the embedded file equal to
// it.
func makeSchema() []byte { return scenarioShape.JSONSchema("swarmpurse scenario") }
