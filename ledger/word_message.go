package ledger

// Messages about an operator's word. All are idempotent.

// WordAsk asks a live member to say what the dead have of it, and to deal with them no more.
type WordAsk struct {
	ID   uint64
	From Holder // who gives the word
	Dir  Holder // and its directory
	To   Holder
	Dead []Holder // the generations that it is about
	Live []Holder // who is asked, sorted, From among them
}

// WordAnswer answers, in parts, or refuses.
type WordAnswer struct {
	ID          uint64
	From, To    Holder
	Code        uint8  // of a refusal, 0 for none; nothing else is said then
	Refused     string // why, for people
	Part, Parts int
	Accounts    []WordAccount
	// In the first part only:
	Retired []Holder   // whose claims are known here to be decided
	Seats   []Seat     // all, as they are known here
	Held    []WordSeat // those that are held here
}

// WordAccount is what a node says of one instance that it knows.
type WordAccount struct {
	Instance InstanceID
	Net      Shares // what it owns, but for what it has of those who are asked, and gave them
	Window   Window // the latest that anybody is known here to be in
	First    Window // the first that the dead cannot have issued, whatever their clocks showed
	With     []WordPair
}

// WordPair is what a live node has given to a dead one, and what of it came.
type WordPair struct {
	Dead                Holder
	SharesOut, SharesIn Shares // from the live one's side
	Window              Window
	Out, In             Tokens // of Window
}

// WordSeat is a seat that its holder speaks for, with the hashes of the instances that were used under it, sorted.
type WordSeat struct {
	Seat Seat
	Used []uint64
}

// WordDoubt asks what became of a word that was answered.
type WordDoubt struct {
	ID      uint64
	By, Dir Holder // who gives it
	From    Holder
	Dead    []Holder
}

// WordOver says that a word is not given.
type WordOver struct {
	ID       uint64
	From, To Holder
}
