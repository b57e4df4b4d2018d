package policy

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/policy/document/schematest"
)

// TestSchemaIsCurrent keeps the embedded file equal to the tables that the parser works by.
func TestSchemaIsCurrent(t *testing.T) {
	schematest.Current(t, "policy.schema.json", Schema(), makeSchema(), *update)
}

// TestSchemaAgrees holds the schema to what the parser says of whole documents.
func TestSchemaAgrees(t *testing.T) {
	good := files(t, "testdata/good/*.yaml")
	good["starter.yaml"] = Starter()
	schematest.Agrees(t, Schema(), good, files(t, "testdata/bad/*.yaml"))
}
