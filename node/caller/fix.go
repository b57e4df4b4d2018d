package caller

import (
	"fmt"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/policy"
)

// Forbidden says what a key may not do.
type Forbidden struct {
	Field   string // tenant, agent, class
	Message string
}

func (e *Forbidden) Error() string { return e.Message }

// Fix makes a call that of its key: it fills in tenant, agent and class where the call leaves them open, and refuses a call that names
// others. The error is a *Forbidden.
func (c *Caller) Fix(call *policy.Call) error {
	if c.Tenant == "" {
		return &Forbidden{"tenant", fmt.Sprintf("this key (%s) has no tenant, so it makes no calls: use a tenant's key", c.Name)}
	}
	if call.Tenant != "" && call.Tenant != c.Tenant {
		return &Forbidden{"tenant", fmt.Sprintf("this key is tenant %q's and cannot spend as tenant %q", c.Tenant, clip(call.Tenant))}
	}
	if c.Agent != "" && call.Agent != "" && call.Agent != c.Agent {
		return &Forbidden{"agent", fmt.Sprintf("this key is agent %q's and cannot act as agent %q", c.Agent, clip(call.Agent))}
	}
	call.Tenant = c.Tenant
	if c.Agent != "" {
		call.Agent = c.Agent
	}
	if len(c.Classes) == 0 {
		return nil
	}
	if call.Class == "" {
		call.Class = c.Classes[0]
	}
	i := slices.Index(c.Classes, call.Class)
	if i < 0 {
		return &Forbidden{"class", fmt.Sprintf("this key may use class %s, not %q", strings.Join(c.Classes, ", "), clip(call.Class))}
	}
	call.Priority = call.Priority && c.lifts[i]
	return nil
}

// Sees reports whether the key may see what belongs to a tenant.
func (c *Caller) Sees(tenant string) bool {
	return c == nil || c.Operator || c.Tenant != "" && c.Tenant == tenant
}

// clip bounds what is quoted back.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
