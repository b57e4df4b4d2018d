package policy

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// TestSchemaIsCurrent keeps the embedded file equal to the tables that the parser works by.
func TestSchemaIsCurrent(t *testing.T) {
	if *update {
		if err := os.WriteFile("policy.schema.json", makeSchema(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(), makeSchema()) {
		t.Error("policy.schema.json is out of date: run go test -run Schema -update ./policy")
	}
}

// TestSchemaAgrees holds the schema to what the parser says of whole documents.
func TestSchemaAgrees(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("policy.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("policy.schema.json")
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
		return schema.Validate(v)
	}
	good := files(t, "testdata/good/*.yaml")
	good["starter.yaml"] = Starter()
	for name, src := range good {
		if err := validate(name, src); err != nil {
			t.Errorf("%s is a good document, but not by the schema: %v", name, err)
		}
	}
	for name, src := range files(t, "testdata/bad/*.yaml") {
		if err := validate(name, src); err == nil {
			t.Errorf("%s is a bad document, but the schema takes it", name)
		}
	}
}
