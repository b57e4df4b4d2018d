package scenario

import (
	"flag"
	"os"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy/document/schematest"
)

var update = flag.Bool("update", false, "write the golden files")

// TestSchemaIsCurrent keeps the embedded file equal to the tables that the parser works by.
func TestSchemaIsCurrent(t *testing.T) {
	schematest.Current(t, "scenario.schema.json", Schema(), makeSchema(), *update)
}

// TestSchemaAgrees holds the schema to what the parser says of whole documents.
func TestSchemaAgrees(t *testing.T) {
	if *update {
		t.Skip("the schema is being written")
	}
	good := map[string][]byte{}
	for _, f := range Shipped() {
		good[f.Name] = f.Source
	}
	many, err := os.ReadFile("testdata/many.yaml") // full of mistakes
	if err != nil {
		t.Fatal(err)
	}
	schematest.Agrees(t, Schema(), good, map[string][]byte{"many.yaml": many})
}
