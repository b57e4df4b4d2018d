package ledger

import (
	"iter"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// Topped is an account and how much of it was minted by top-ups, as a record shows it.
type Topped struct {
	Instance InstanceID
	Window   Window
	Minted   Tokens
}

// Minted are the accounts among records that guardians keep of a ward which show top-ups. Records that cannot be read are passed over, as heirs do.
func Minted(records []guardian.Record) iter.Seq[Topped] {
	return func(yield func(Topped) bool) {
		for _, r := range records {
			id, ok := strings.CutPrefix(r.Key, keyAccount)
			if !ok {
				continue
			}
			if s, err := decodeState(r.Value); err == nil && s.Minted > 0 && !yield(Topped{InstanceID(id), s.Window, s.Minted}) {
				return
			}
		}
	}
}
