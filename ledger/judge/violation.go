package judge

import "fmt"

// Invariant names a promise of the ledger.
type Invariant string

// The invariants, as failures name them.
const (
	Readable         Invariant = "what is written makes sense"
	SharesConserved  Invariant = "shares are conserved" // owned and on the way: what genesis gave
	RightsConserved  Invariant = "rights are conserved" // issued = spent + lapsed + reserved + balance + on the way
	GenesisOnce      Invariant = "genesis gives every share once"
	CountedOnce      Invariant = "no share counts twice in a window"
	IssuedInLimit    Invariant = "no more is issued than the limit"
	AdmittedInLimit  Invariant = "callers are never told more than the limit"
	RateInLimit      Invariant = "a rate admits at most rate × (T + L) + burst" // and the refunds of that time
	AccruedByShares  Invariant = "a rate accrues by its shares"
	BalancePositive  Invariant = "no balance is negative"
	BelowMark        Invariant = "spending stays below the durable mark"
	GivenBeforeCome  Invariant = "nothing is credited that was not durably given"
	DurableFirst     Invariant = "what is told is durable"
	Monotone         Invariant = "what only grows never goes down" // across restarts too
	SumsOfEntries    Invariant = "an account's sums are those of its entries"
	Equations        Invariant = "an account's own equations close"
	AdmittedIsBooked Invariant = "what callers were told is spent or reserved"
	OpenIfDurable    Invariant = "an account is open exactly if its issue is durable"
	MintedOnce       Invariant = "a durable top-up is there, once"
	LapsesAddUp      Invariant = "what decayed, expired and was burned is what lapsed"
	BurnedOnWord     Invariant = "no more is burned than operators said"
	DecidedOnce      Invariant = "at most one value is decided of a generation"
	HeldIsFinal      Invariant = "what was held is in what is decided"
	LeaseFirst       Invariant = "nobody else is promised a generation while its lease runs"
	HeirsEnd         Invariant = "following heirs comes to an end"
	SetForever       Invariant = "the guardians of a generation never change"
	Promised         Invariant = "a promise ends the acceptance of records"
	CreditedOnce     Invariant = "what final records show is credited once"
	BelowHeld        Invariant = "spending stays below what a claim would find"
	ToldIsHeld       Invariant = "what came to others is in what a claim would find"
	CopiesAreTrue    Invariant = "what guardians keep is what its owner had"
	ForgottenOnce    Invariant = "what is forgotten has ended, and never begins again"
	OverdraftInLimit Invariant = "an overdraft stays within its part, and off hard ones"
)

// Violation is a broken promise.
type Violation struct {
	Invariant Invariant
	Detail    string
}

func (v *Violation) Error() string { return fmt.Sprintf("%s: %s", v.Invariant, v.Detail) }

func broken(i Invariant, format string, args ...any) error {
	return &Violation{i, fmt.Sprintf(format, args...)}
}
