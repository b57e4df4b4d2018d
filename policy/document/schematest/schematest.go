// Package schematest holds a JSON Schema to the tables that it is made of and to what a parser says of whole documents.
// Only tests import it.
package schematest

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// Current demands that the embedded schema is the one that the parser's tables make, which lies in file; or writes it there.
func Current(t *testing.T, file string, embedded, made []byte, write bool) {
	t.Helper()
	if write {
		if err := os.WriteFile(file, made, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(embedded, made) {
		t.Errorf("%s is out of date: run go test -run Schema -update here", file)
	}
}

// Agrees demands that the schema takes the good documents and not the bad ones, all YAML and by name.
func Agrees(t *testing.T, schema []byte, good, bad map[string][]byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(name string, src []byte) error {
		var v any
		if err := yaml.Load(src, &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v, err = jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return compiled.Validate(v)
	}
	for name, src := range good {
		if err := validate(name, src); err != nil {
			t.Errorf("%s is a good document, but not by the schema: %v", name, err)
		}
	}
	for name, src := range bad {
		if err := validate(name, src); err == nil {
			t.Errorf("%s is a bad document, but the schema takes it", name)
		}
	}
}
