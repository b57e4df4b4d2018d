package seal

import "fmt"

// Reason is why a message was refused. The names are labels of a metric: append only.
type Reason uint8

const (
	Malformed    Reason = iota // it cannot be read
	Unsigned                   // it comes without a signature from a node that signs
	UnknownKey                 // its sender's key is not known here (yet)
	WrongKey                   // another key than the one that is known of the sender's directory
	Forged                     // the signature is not its sender's
	NotTheirs                  // it is another node's, or another generation's, to say
	Replayed                   // it was read before, or is older than what was read
	Flood                      // more than one node may have checked
	Convicted                  // what the key has signed proves that its node lies, or runs twice
	TwoLives                   // two processes sign with one key
	Unproved                   // it says that this node has said more than it has, and shows no proof
	NotSigned                  // an operator's word without a signature, which signers must sign
	NoSigner                   // an operator's word signed by nobody who is known to sign
	FalseWord                  // an operator's word whose signature is not its signer's
	NotEnrolled                // no operator has enrolled it, which the policy asks for
	UnsignedMint               // its rows show more top-ups than operators signed, as far as is known
	numReasons
)

var reasonNames = [numReasons]string{
	"malformed", "unsigned", "unknown_key", "wrong_key", "forged", "not_theirs", "replayed", "flood", "convicted", "two_lives", "unproved", "not_signed", "no_signer", "false_word", "not_enrolled", "unsigned_mint",
}

func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Reasons lists all of them.
func Reasons() []Reason {
	rs := make([]Reason, numReasons)
	for i := range rs {
		rs[i] = Reason(i)
	}
	return rs
}

// Refusal is the error of what is not taken.
type Refusal struct {
	Reason Reason
	What   string
}

func (r *Refusal) Error() string { return r.Reason.String() + ": " + r.What }

func refuse(why Reason, format string, args ...any) error {
	return &Refusal{why, fmt.Sprintf(format, args...)}
}
