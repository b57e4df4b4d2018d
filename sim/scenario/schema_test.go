package scenario

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write the golden files")

// TestSchemaIsCurrent keeps the embedded file equal to the tables that the parser works by.
func TestSchemaIsCurrent(t *testing.T) {
	if *update {
		if err := os.WriteFile("scenario.schema.json", makeSchema(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(), makeSchema()) {
		t.Error("scenario.schema.json is out of date: run go test -run Schema -update ./sim/scenario")
	}
}

// TestSchemaAgrees holds the schema to what the parser says of whole documents.
func TestSchemaAgrees(t *testing.T) {
	if *update {
		t.Skip("the schema is being written")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("scenario.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("scenario.schema.json")
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
	for _, f := range Shipped() {
		if err := validate(f.Name, f.Source); err != nil {
			t.Errorf("%s ships, but is not good by the schema: %v", f.Name, err)
		}
	}
	bad, err := os.ReadFile("testdata/many.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate("many.yaml", bad); err == nil {
		t.Error("many.yaml is full of mistakes, but the schema takes it")
	}
}
