package telemetry

import (
	"go/build"
	"strings"
	"testing"
)

// TestImports: this package stands alone. It imports nothing of ours, so every part of the node may use it.
func TestImports(t *testing.T) {
	p, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{
		"github.com/prometheus/client_golang/prometheus":            true,
		"github.com/prometheus/client_golang/prometheus/collectors": true,
		"github.com/prometheus/client_model/go":                     true,
		"github.com/prometheus/common/model":                        true,
		"github.com/rs/zerolog":                                     true,
		"golang.org/x/term":                                         true,
		"github.com/swarmpurse/swarmpurse/node/service":             true,
	}
	for _, i := range p.Imports {
		if strings.Contains(strings.Split(i, "/")[0], ".") && !allowed[i] {
			t.Errorf("imports %s", i)
		}
		if i == "net/http" {
			t.Error("imports net/http: serving /metrics belongs to node/api")
		}
	}
}
