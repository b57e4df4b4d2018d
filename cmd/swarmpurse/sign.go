package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// signed gives a command --sign-with.
func (a *app) signed(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&a.signWith, "sign-with", "", "`file` of an operator's key, as swarmpurse keys operator makes it, where the policy's trust.signers asks for a signature (default $SWARMPURSE_SIGN_WITH)")
	return c
}

// secret reads the operator's key in use; nil for none.
func (a *app) secret() (*trust.Secret, error) {
	file, from := a.signWith, "--sign-with"
	if file == "" {
		if file, from = a.getenv("SWARMPURSE_SIGN_WITH"), "SWARMPURSE_SIGN_WITH"; file == "" {
			return nil, nil
		}
	}
	b, err := a.readFile(file, trust.MaxSecretText)
	if err != nil {
		return nil, usageError("%s: %w", from, err)
	}
	s, err := trust.ParseSecret(string(b))
	if err != nil {
		return nil, usageError("%s: %s: %w", from, file, err)
	}
	if st, err := os.Stat(file); err == nil && st.Mode().Perm()&0o077 != 0 {
		a.hint("others on this machine can read %s: run chmod 600 on it", file)
	}
	return &s, nil
}

// sign has the operator's key in use sign what say makes of what is in force at the node; nil if none is in use. Nothing of the key leaves
// this process.
func (a *app) sign(ctx context.Context, client *api.Client, say func(t *api.Trust, k trust.Key) (*trust.Statement, trust.Revision, error)) (*trust.Signature, error) {
	s, err := a.secret()
	if s == nil || err != nil {
		return nil, err
	}
	t, err := client.Trust(ctx)
	if err != nil {
		return nil, err
	}
	if t.Charter == "" {
		return nil, &codedError{err: errors.New("the node has no charter yet, for which signatures are made"), code: exitFailed, hint: "run: swarmpurse members"}
	}
	x, from, err := say(&t, s.Public())
	if x == nil || err != nil {
		return nil, err
	}
	return s.New(x, from), nil
}

// now is the time of a signature.
func now() int64 { return time.Now().UnixMilli() }

func revisionOf(r api.TrustRevision) (k rollout.Key, err error) {
	b, err := hex.DecodeString(r.Hash)
	if err != nil || len(b) != len(k.Hash) {
		return k, fmt.Errorf("the node tells of revision %d with no hash that could be signed", r.Revision)
	}
	return rollout.Key{Revision: r.Revision, Hash: [32]byte(b)}, nil
}

// fromOf is the revision that a key's words follow: the latest that lists it. After a key was stolen, that may be one before those that are
// in force, which the word then puts an end to.
func fromOf(t *api.Trust, k trust.Key) (rollout.Key, error) {
	for i := len(t.Chain) - 1; i >= 0; i-- {
		for _, s := range t.Chain[i].Signers {
			if s.Key == k.String() {
				return revisionOf(t.Chain[i].TrustRevision)
			}
		}
	}
	if t.Stable.Revision == 0 {
		return rollout.Key{}, nil
	}
	return revisionOf(t.Stable)
}

// signApply signs that a document is applied as a request says.
func (a *app) signApply(ctx context.Context, client *api.Client, q *api.ApplyRequest) (err error) {
	p, err := policy.Parse("policy", q.Source)
	if err != nil {
		return err
	}
	how := p.Rollout()
	if q.Rollout != nil {
		if how, err = policy.ParseRollout("rollout", how, q.Rollout); err != nil {
			return err
		}
	} else if q.Whole {
		how = nil
	}
	q.Signature, err = a.sign(ctx, client, func(t *api.Trust, k trust.Key) (*trust.Statement, trust.Revision, error) {
		x := rollout.Signed{Key: rollout.KeyOf(p), Kind: trust.Apply, At: max(now(), t.Next), Why: q.Why, Next: p.Signers()}
		if how != nil && t.Stable.Revision != 0 { // the first decides on all calls: there is nothing to try it beside
			x.Kind, x.How = trust.Try, *how
		}
		var err error
		x.From, err = fromOf(t, k)
		return x.Statement(t.Charter), x.From.Signed(), err
	})
	return err
}

// signAct signs what a request does to a revision, and has it be about that one only.
func (a *app) signAct(ctx context.Context, client *api.Client, what string, q *api.PolicyAct) (err error) {
	kind := map[string]string{api.Promote: trust.Promote, api.Pause: trust.Pause, api.Resume: trust.Resume, api.RollBack: trust.RollBack}[what]
	q.Signature, err = a.sign(ctx, client, func(t *api.Trust, k trust.Key) (*trust.Statement, trust.Revision, error) {
		about := t.Candidate
		if about == nil && what == api.RollBack {
			about = &t.Stable
		}
		if about == nil || about.Revision == 0 || q.Revision != 0 && q.Revision != about.Revision {
			return nil, trust.Revision{}, nil // the node says why not
		}
		of, err := revisionOf(*about)
		if err != nil {
			return nil, trust.Revision{}, err
		}
		from, err := fromOf(t, k)
		q.Revision = of.Revision
		x := rollout.Signed{Key: of, Kind: kind, From: from, At: max(now(), t.Next), Why: q.Why}
		return x.Statement(t.Charter), from.Signed(), err
	})
	return err
}

// signMint signs a top-up.
func (a *app) signMint(ctx context.Context, client *api.Client, m *api.MintRequest) (err error) {
	m.Signature, err = a.sign(ctx, client, func(t *api.Trust, _ trust.Key) (*trust.Statement, trust.Revision, error) {
		return trust.OfMint(t.Charter, now(), t.Node, t.Generation, m.Budget, m.Key, int64(m.Amount), m.ID, m.Why), trust.Revision{}, nil
	})
	return err
}

// signBurn signs that rights are destroyed.
func (a *app) signBurn(ctx context.Context, client *api.Client, m *api.BurnRequest) (err error) {
	m.Signature, err = a.sign(ctx, client, func(t *api.Trust, _ trust.Key) (*trust.Statement, trust.Revision, error) {
		return trust.OfBurn(t.Charter, now(), t.Node, t.Generation, m.Budget, m.Key, int64(m.Amount), m.ID, m.Why), trust.Revision{}, nil
	})
	return err
}

// signFreeze signs that something is frozen or not any more, later than what was said of it last, if it is frozen.
func (a *app) signFreeze(ctx context.Context, client *api.Client, on bool, q *api.FreezeRequest) (err error) {
	q.Signature, err = a.sign(ctx, client, func(t *api.Trust, _ trust.Key) (*trust.Statement, trust.Revision, error) {
		at := now()
		list, err := client.Frozen(ctx)
		for _, f := range list {
			if f.Instance == q.Instance && f.Tenant == q.Tenant && f.Agent == q.Agent {
				at = max(at, f.At.UnixMilli()+1)
			}
		}
		return trust.OfFreeze(on, t.Charter, at, q.Instance, q.Tenant, q.Agent, q.Why), trust.Revision{}, err
	})
	return err
}

// signDeath signs a word that members are dead.
func (a *app) signDeath(ctx context.Context, client *api.Client, q *api.RemoveRequest) (err error) {
	stated := func(in []api.Stated) (out []trust.Stated) {
		for _, s := range in {
			out = append(out, trust.Stated{Instance: s.Instance, Amount: int64(s.Amount)})
		}
		return out
	}
	q.Signature, err = a.sign(ctx, client, func(t *api.Trust, _ trust.Key) (*trust.Statement, trust.Revision, error) {
		return trust.OfDeath(t.Charter, now(), t.Node, t.Generation, append([]string{q.Name}, q.Also...), stated(q.Stock), stated(q.Limits), q.Unseen, q.Why), trust.Revision{}, nil
	})
	return err
}

// signersText are signers, for people.
func signersText(list []api.Signer) string {
	return cmp.Or(signersShown(list), "nobody need sign")
}

// signersShown is signersText, "" for none.
func signersShown(list []api.Signer) string {
	var names []string
	for _, x := range list {
		names = append(names, clean(x.Name))
	}
	return strings.Join(names, ", ")
}
