package rls

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	filter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/swarmpurse/swarmpurse/policy"
)

// TestReadmeConfiguresEnvoy: what README.md says for Envoy is valid by Envoy's own protos, and fits the example policy.
func TestReadmeConfiguresEnvoy(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(readme), "## Behind Envoy")
	_, part, ok2 := strings.Cut(part, "```yaml\n")
	part, _, ok3 := strings.Cut(part, "```")
	if !ok || !ok2 || !ok3 {
		t.Fatal("README.md has no such part")
	}
	var doc struct {
		Filters []struct {
			Config map[string]any `yaml:"typed_config"`
		} `yaml:"http_filters"`
		Route map[string]any `yaml:"envoy.filters.http.ratelimit"`
	}
	if err := yaml.Unmarshal([]byte(part), &doc); err != nil {
		t.Fatal(err)
	}
	read := func(m map[string]any, into interface {
		proto.Message
		ValidateAll() error
	}) {
		t.Helper()
		name, _ := m["@type"].(string)
		if want := "type.googleapis.com/" + string(into.ProtoReflect().Descriptor().FullName()); name != want {
			t.Errorf("@type is %s, want %s", name, want)
		}
		delete(m, "@type")
		b, err := json.Marshal(m)
		if err == nil {
			err = protojson.Unmarshal(b, into)
		}
		if err == nil {
			err = into.ValidateAll()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var f filter.RateLimit
	read(doc.Filters[0].Config, &f)
	var route filter.RateLimitPerRoute
	read(doc.Route, &route)

	src, err := os.ReadFile("../../policy/examples/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("envoy.yaml", src)
	if err != nil {
		t.Fatal(err)
	}
	domain, ok := p.RateDomain(f.Domain)
	if !ok || !f.FailureModeDeny {
		t.Fatalf("domain %q, failure_mode_deny %v", f.Domain, f.FailureModeDeny)
	}
	for i, l := range route.RateLimits {
		var entries []policy.RateEntry
		for _, a := range l.Actions {
			if g := a.GetGenericKey(); g != nil {
				entries = append(entries, policy.RateEntry{Key: g.DescriptorKey, Value: g.DescriptorValue})
			} else {
				entries = append(entries, policy.RateEntry{Key: a.GetRequestHeaders().DescriptorKey, Value: "x"})
			}
		}
		switch r := domain.Find(entries); {
		case r == nil:
			t.Errorf("rate limit %d fits nothing", i)
		case i < 2 && (r.Hold == 0 || l.ApplyOnStreamDone != l.HitsAddend.IsNegativeHits):
			t.Errorf("rate limit %d is not held, or not given back when the stream is done", i)
		case i == 2 && (!r.Report || !l.ApplyOnStreamDone):
			t.Errorf("rate limit %d is no report", i)
		}
	}
}
