package node

import (
	"go/build"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/swarmpurse/swarmpurse/"

// TestImportsPointOneWay holds the tree to DESIGN section 2: cmd -> node, sim; node -> admit, gossip, policy,
// ledger; policy -> ledger; ledger and gossip import nothing of ours; the pure packages nothing impure.
func TestImportsPointOneWay(t *testing.T) {
	may := map[string][]string{
		"ledger":           {"ledger/guardian"},
		"ledger/guardian":  {},
		"ledger/placement": {"ledger"},
		"gossip":           {},
		"ledger/judge":     {"ledger", "ledger/guardian"},
		"policy":           {"ledger", "policy/document", "policy/trust"},
		"policy/document":  {"ledger"},
		"policy/trust":     {},
		"policy/enrol":     {"policy/trust"},
		"policy/topup":     {"ledger", "policy/trust"},
		"policy/rollout":   {"policy", "policy/trust"},
		"policy/outcome":   {},
		"policy/shadow":    {"ledger", "policy"},
		"node/freeze":      {"ledger", "policy/trust"},
		"node/admit":       {"ledger", "policy", "policy/outcome", "policy/rollout", "node/freeze"},
		"node/core":        {"ledger", "node/admit"},
		"node/child":       {},
		"node/needs":       {},
		"node/chaos":       {"node/api", "node/child", "ledger"},
		"node/store":       {},
		"node/identity":    {},
		"node/seal":        {"ledger"},
		"node/audit":       {"node/identity"},
		"node/wire":        {"ledger", "policy", "policy/enrol", "policy/outcome", "policy/rollout", "policy/topup", "policy/trust", "node/freeze"},
		"node/rehearse":    {"ledger", "ledger/placement", "policy", "policy/document", "node/admit", "node/core"},
		"node/service":     {},
		"node/telemetry":   {"node/service"},
		"node/caller":      {"ledger", "policy"},
		"node/llm":         {"ledger", "policy", "node/admit", "node/caller", "node/telemetry/traces", "node/llm/"},
		"node/llm/standin": {"ledger", "policy", "node/admit", "node/llm"},
		"node/rls":         {"ledger", "policy", "node/admit", "node/caller"},
		"node/api":         {"ledger", "policy", "policy/enrol", "policy/trust", "node/admit", "node/caller", "node/events", "node/api/ui"},
		"node/api/ui":      {},
		"node/api/bare":    {"ledger", "node/api"},
		"node/frame":       {},
		"node/socket":      {"ledger", "policy", "node/admit", "node/api", "node/caller", "node/frame"},
		"node/client":      {"node/frame"},
		"node/events":      {},
		"node":             {"ledger", "ledger/guardian", "ledger/placement", "gossip", "policy", "policy/document", "policy/enrol", "policy/outcome", "policy/rollout", "policy/shadow", "policy/topup", "policy/trust", "node/"},
		"sim":              {"ledger", "ledger/placement", "ledger/guardian", "ledger/judge", "node/admit", "node/core", "node/freeze", "node/service", "node/wire", "policy", "policy/rollout", "sim/"},
		"sim/workload":     {"ledger"},
		"sim/scenario":     {"ledger", "node/freeze", "policy", "policy/document", "sim/result", "sim/workload"},
		"sim/baseline":     {"ledger", "node/freeze", "policy", "sim/result", "sim/scenario", "sim/workload"},
		"sim/result":       {"ledger", "policy", "sim/workload"},
		"sim/promise":      {},
		"sim/report":       {"sim/result"},
		"sim/explore":      {"ledger", "ledger/guardian", "ledger/judge"},
		"cmd/swarmpurse":   {"node", "node/", "policy", "policy/", "ledger", "sim", "sim/", "cmd/swarmpurse/"},
	}
	for pkg, allowed := range may {
		p, err := build.ImportDir("../"+pkg, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, module)
			if !ok {
				continue
			}
			if !slices.ContainsFunc(allowed, func(a string) bool {
				return ours == a || strings.HasSuffix(a, "/") && strings.HasPrefix(ours, a)
			}) {
				t.Errorf("%s imports %s; it may import %v of ours", pkg, ours, allowed)
			}
		}
		for lib, only := range map[string][]string{
			"github.com/hashicorp/memberlist": {"gossip"},
			"github.com/hashicorp/serf/serf":  {"gossip"},
			"go.etcd.io/bbolt":                {"node/store"},
			"github.com/rs/zerolog":           {"gossip", "node", "node/store", "node/telemetry", "node/llm", "node/llm/standin", "node/api", "node/rls", "node/socket", "cmd/swarmpurse"},
		} {
			if slices.Contains(p.Imports, lib) && !slices.Contains(only, pkg) {
				t.Errorf("%s imports %s; only %v may", pkg, lib, only)
			}
		}
	}
}
