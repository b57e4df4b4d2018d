package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/policy"
)

// newKeysCommand makes and shows keys: of callers, of operators, of nodes, and of the gossip.
func newKeysCommand(a *app) *cobra.Command {
	return groupCommand("keys", "Keys of callers, of operators, of nodes and of gossip", newCallerKeyCommand(a), newKeysShowCommand(a), newOperatorKeyCommand(a), newSignersCommand(a), newEnrolCommand(a), newExpelCommand(a), newEnrolledCommand(a), newGossipKeysCommand(a))
}

// newKey is a key that was made.
type newKey struct {
	Key    string `json:"key,omitempty"` // absent if it was written to a file
	File   string `json:"file,omitempty"`
	SHA256 string `json:"sha256"`
	Policy string `json:"policy"` // what the policy needs of it
}

type callerFlags struct {
	name, tenant, agent, expires, rate string
	classes                            []string
	operator                           bool
	burst, concurrency                 int
}

func newCallerKeyCommand(a *app) *cobra.Command {
	var k callerFlags
	var out string
	c := &cobra.Command{
		Use:   "caller NAME --tenant T",
		Short: "Make a caller's key",
		Long: `Make a key for a caller that is not on a node's own machine, and print what the policy needs of it: its SHA-256, with what the
key may do. The key is printed once, here, and is kept nowhere: give it to the caller, add the lines to the policy under callers, and
run swarmpurse policy apply. Clients send it as Authorization: Bearer, as those of OpenAI do (OPENAI_API_KEY), or as x-api-key.

Its hash can stand in a policy that many read: a key is 256 bits of chance, which nobody guesses. To take a key back, take its lines
out of the policy.`,
		Example: `  swarmpurse keys caller search-1 --tenant search --class standard --class batch --rate 50/s --concurrency 20
  swarmpurse keys caller alice --operator --expires 2027-01-31 --out alice.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			k.name = args[0]
			return a.makeCallerKey(&k, out)
		},
	}
	f := c.Flags()
	f.StringVar(&k.tenant, "tenant", "", "the only `tenant` that it calls for")
	f.StringVar(&k.agent, "agent", "", "its calls are this `agent`'s")
	f.StringArrayVar(&k.classes, "class", nil, "a `class` that its calls may have, its default first; repeatable (default all)")
	f.BoolVar(&k.operator, "operator", false, "it sees all, and may change policies, mint, burn, freeze, remove members and rotate keys")
	f.StringVar(&k.expires, "expires", "", "`day` or time from which on it is refused, as 2027-01-31")
	f.StringVar(&k.rate, "rate", "", "how many requests it may make at one node, as `50/s`")
	f.IntVar(&k.burst, "burst", 0, "how many of them at once (default what the rate brings in a second)")
	f.IntVar(&k.concurrency, "concurrency", 0, "how many of its requests one node answers at a time")
	f.StringVar(&out, "out", "", "new `file` for the key, which only this user can read, instead of stdout")
	return a.withOutput(c)
}

func (a *app) makeCallerKey(k *callerFlags, out string) error {
	key := caller.NewKey()
	sum := caller.Hash(key)
	v := newKey{Key: key, SHA256: fmt.Sprintf("%x", sum)}
	v.Policy = "callers:\n  - {" + strings.Join(k.fields(v.SHA256), ", ") + "}\n"
	p, err := policy.Parse("callers", []byte("apiVersion: swarmpurse/v1\nrevision: 1\n"+v.Policy))
	if err != nil {
		// The mistake is the flag's, and places in a document that nobody sees say nothing.
		var many *policy.Errors
		if errors.As(err, &many) && len(many.List) > 0 {
			e := many.List[0]
			return usageError("%s%s", e.Message, strings.TrimSuffix("; "+e.Advice, "; "))
		}
		return usageError("%w", err)
	}
	if out != "" {
		f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return usageError("--out: %w", err)
		}
		_, err = f.WriteString(key + "\n")
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		v.Key, v.File = "", out
	}
	if err := a.print(v, func(w *strings.Builder) {
		if v.Key != "" {
			fmt.Fprintf(w, "%s\n\n", v.Key)
		}
		w.WriteString(v.Policy)
	}); err != nil {
		return err
	}
	if v.Key != "" {
		a.hint("this key is shown only now; add the lines to the policy and run: swarmpurse policy apply")
	} else {
		a.hint("add the lines to the policy and run: swarmpurse policy apply")
	}
	if at := p.Callers()[0].Expires; at > 0 && int64(at) <= time.Now().UnixMilli() {
		a.hint("this key is of no use: it expired on %s", k.expires)
	}
	return nil
}

// fields are those of the policy, with names quoted where YAML asks for it.
func (k *callerFlags) fields(sum string) []string {
	list := []string{"name: " + yamlText(k.name), "key: " + policy.KeyHash + sum}
	text := func(name, v string) {
		if v != "" {
			list = append(list, name+": "+yamlText(v))
		}
	}
	text("tenant", k.tenant)
	text("agent", k.agent)
	if len(k.classes) > 0 {
		var names []string
		for _, c := range k.classes {
			names = append(names, yamlText(c))
		}
		list = append(list, "classes: ["+strings.Join(names, ", ")+"]")
	}
	if k.operator {
		list = append(list, "operator: true")
	}
	text("expires", k.expires)
	text("rate", k.rate)
	if k.burst != 0 {
		list = append(list, "burst: "+strconv.Itoa(k.burst))
	}
	if k.concurrency != 0 {
		list = append(list, "concurrency: "+strconv.Itoa(k.concurrency))
	}
	return list
}

// yamlText writes a text as YAML reads it, plain where that is the same.
func yamlText(s string) string {
	plain := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && r != '/' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	var v any
	if plain && yaml.Load([]byte(s), &v) == nil {
		if t, ok := v.(string); ok && t == s {
			return s
		}
	}
	return strconv.Quote(s) // what Go escapes YAML's double quotes read alike
}

func newKeysShowCommand(a *app) *cobra.Command {
	return a.withClient(&cobra.Command{
		Use:   "show",
		Short: "Show what the key in use stands for",
		Long:  "Ask the node what the key in use stands for: its tenant, what it may do, and its limits.\n\n" + callerHelp,
		Args:  cobra.NoArgs,
		RunE: showing(a, (*api.Client).Caller, func(w *strings.Builder, who api.CallerInfo) {
			if who.Name == "" {
				w.WriteString("no key is in use, and the node asks for none here: all may be seen and done\n")
				return
			}
			may := "its tenant's calls, budgets, decisions and metrics"
			if who.Operator {
				may = "all that operators may"
			}
			expires := "never"
			if who.Expires != nil {
				expires = instant(*who.Expires)
			}
			limit := func(n int64) string {
				if n == 0 {
					return ""
				}
				return strconv.FormatInt(n, 10)
			}
			fields(w, "caller", clean(who.Name), "tenant", clean(cmp.Or(who.Tenant, "none: it makes no calls")), "agent", clean(who.Agent),
				"classes", clean(strings.Join(who.Classes, ", ")), "may", may, "expires", expires, "rate", who.Rate, "burst", limit(who.Burst),
				"at once", limit(int64(who.Concurrency)))
		}),
	})
}
