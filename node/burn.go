package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

const (
	burnTries = 20 * time.Millisecond // between looks whether peers' rights have come
	burnWaits = 3 * time.Second       // for them
)

// Burn destroys rights of an instance. What this node lacks it asks peers for, as for a call. See api.Node.
func (n *Node) Burn(ctx context.Context, m api.BurnRequest) (api.BurnReceipt, error) {
	b, err := n.keyed(m.Budget, m.Key)
	if err != nil {
		return api.BurnReceipt{}, err
	}
	if err := n.awaitBegun(ctx); err != nil {
		return api.BurnReceipt{}, err
	}
	var rc api.BurnReceipt
	var with uint64 // the version that it came with
	until := time.Now().Add(burnWaits)
	try := func(now ledger.Instant, done func(error)) {
		id, err := n.present(now, b, m.Key)
		if err != nil {
			done(err)
			return
		}
		signer, err := n.operator(now, m.Signature, func(charter string, at int64) *trust.Statement {
			return trust.OfBurn(charter, at, n.opts.Name, n.generation(), m.Budget, m.Key, int64(m.Amount), m.ID, m.Why)
		})
		if err != nil {
			done(err)
			return
		}
		by := signedBy(signer, m.By)
		repeated, err := n.replica.Burn(now, id, m.Amount, m.ID)
		if errors.Is(err, ledger.ErrTooFew) {
			n.replica.Waiting(now, id, ledger.Need{First: m.Amount, All: m.Amount, Since: now, Until: now + ledger.Instant(time.Until(until).Milliseconds())})
			s := n.instance(now, id, &b.Spec, false)
			done(fmt.Errorf("%w: %q has %d rights at nodes that can be reached, %d of them here; %d were to be burned, none was",
				api.ErrTooFew, id.Name(), s.Swarm.Rights-s.Away, s.Local.Rights, m.Amount))
			return
		}
		if err != nil {
			done(mintError(err))
			return
		}
		n.after = append(n.after, func(err error) {
			if err == nil {
				with = n.replica.Guarding().Version
				s := n.instance(n.now(), id, &b.Spec, false)
				rc = api.BurnReceipt{Instance: id.Name(), Burned: m.Amount, Rights: s.Swarm.Rights, Repeated: repeated}
				if !repeated {
					n.log.Info().Str("instance", id.Name()).Int64("tokens", int64(m.Amount)).Str("by", by).Str("why", m.Why).Str("id", m.ID).Msg("burned")
					n.auditor.act(audit.Record{Kind: audit.Burn, ID: m.ID, Instance: id.Name(), Tokens: int64(m.Amount), By: by, Why: m.Why})
				}
			}
			done(err)
		})
	}
	if !again(ctx, burnTries, func() bool {
		err = n.wait(ctx, try)
		return err == nil || !errors.Is(err, api.ErrTooFew) || !time.Now().Before(until)
	}) {
		err = ctx.Err()
	}
	if err != nil {
		return api.BurnReceipt{}, err
	}
	rc.Unheld = !n.becomesHeld(ctx, with)
	return rc, nil
}

// present is the instance of a budget that operators name by its key.
func (n *Node) present(now ledger.Instant, b *policy.Budget, key []string) (ledger.InstanceID, error) {
	id, err := b.Instance(n.replica.Charter().ID, key)
	if err == nil {
		id, err = b.Present(now, id)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", admit.ErrInvalid, err)
	}
	return id, nil
}
