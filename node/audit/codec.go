package audit

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed is wrapped by every error of decoding.
var ErrMalformed = errors.New("malformed audit record")

// The form is that of protobuf: fields by number, ascending, zero values left out. So there is one encoding of each
// record, and a newer version's fields, which have higher numbers, are passed over by an older one.
const (
	fKind protowire.Number = iota + 1
	fAt
	fID
	fTrace
	fSpan
	fTenant
	fAgent
	fRun
	fClass
	fModel
	fData
	fVerdict
	fCode
	fReason
	fRule
	fRevision
	fArm
	fWaited
	fRetry
	fLevel
	fDraw
	fAdviceModel
	fAdviceMax
	fPrompt
	fMaxOutput
	fState
	fOutcome
	fUsedPrompt
	fUsedOutput
	fCached
	fThink
	fWhat
	fNode
	fBy
	fWhy
	fInstance
	fTokens
	fShares
	fHash
	fFrom
	fCount
	fUpstream
	fShared
	fSample
	fFlags
	fExperiment
	fTemperature
	fTopP
	fScore
	fCaller
	fCounted
	lastField = fCounted
)

// Fields of a draw.
const (
	dInstance protowire.Number = iota + 1
	dToken
	dAmount
	dPrice
	dBefore
	dAfter
	dOverrun
	lastDraw = dOverrun
)

// Fields of a standing.
const (
	sInstance protowire.Number = iota + 1
	sAsked
	sShare
	sSmall
	sUnder
	lastStanding = sUnder
)

// Fields of a sample.
const (
	mSeries protowire.Number = iota + 1
	mValue
	lastSample = mValue
)

// Append appends the encoding of r. It changes r only by cutting off what is too long.
func Append(b []byte, r *Record) []byte {
	start := len(b)
	r.bound()
	b = appendRecord(b, r)
	for len(b)-start > MaxRecord { // only lists can come to so much
		switch {
		case len(r.Data) > 0:
			r.Data = r.Data[:len(r.Data)/2]
		case len(r.Rules) > 0:
			r.Rules = r.Rules[:len(r.Rules)/2]
		case len(r.Shared) > 0:
			r.Shared = r.Shared[:len(r.Shared)/2]
		case len(r.Samples) > 0:
			r.Samples = r.Samples[:len(r.Samples)/2]
		default:
			r.Draws = r.Draws[:len(r.Draws)/2]
		}
		b = appendRecord(b[:start], r)
	}
	return b
}

func (r *Record) bound() {
	for _, s := range r.texts() {
		if len(*s) > maxText {
			*s = cut(*s)
		}
	}
	r.Rules, r.Draws, r.Data = r.Rules[:min(len(r.Rules), maxList)], r.Draws[:min(len(r.Draws), maxList)], r.Data[:min(len(r.Data), maxData)]
	// These slices may be shared with whoever made the record: one that must be changed is copied.
	r.Rules, r.Data = bounded(r.Rules), bounded(r.Data)
	for i := range r.Draws {
		d := &r.Draws[i]
		if len(d.Instance) > maxText {
			d.Instance = cut(d.Instance)
		}
		if len(d.Token) > maxText {
			d.Token = cut(d.Token)
		}
	}
	r.Shared = r.Shared[:min(len(r.Shared), maxList)]
	for i := range r.Shared {
		r.Shared[i].Instance = cut(r.Shared[i].Instance)
	}
	r.Samples = r.Samples[:min(len(r.Samples), MaxSamples)]
	for i := range r.Samples {
		r.Samples[i].Series = cut(r.Samples[i].Series)
	}
	r.At = max(r.At, 0)
}

func bounded(list []string) []string {
	for _, s := range list {
		if len(s) > maxText {
			short := make([]string, len(list))
			for i, s := range list {
				short[i] = cut(s)
			}
			return short
		}
	}
	return list
}

// cut shortens a text, at the start of a rune if it has any.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > maxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// texts are the strings of a record but for lists.
func (r *Record) texts() [27]*string {
	return [...]*string{
		&r.ID, &r.Tenant, &r.Agent, &r.Run, &r.Class, &r.Model, &r.Verdict, &r.Code, &r.Reason, &r.Arm, &r.AdviceModel,
		&r.State, &r.Outcome, &r.What, &r.Node, &r.By, &r.Why, &r.Instance, &r.Hash, &r.Upstream,
		&r.Flags, &r.Experiment, &r.AdviceTemperature, &r.AdviceTopP, &r.Score, &r.Caller, &r.Counted,
	}
}

func appendRecord(b []byte, r *Record) []byte {
	b = num(b, fKind, int64(r.Kind))
	b = num(b, fAt, r.At)
	b = text(b, fID, r.ID)
	if r.Trace != [16]byte{} {
		b = protowire.AppendTag(b, fTrace, protowire.BytesType)
		b = protowire.AppendBytes(b, r.Trace[:])
	}
	if r.Span != [8]byte{} {
		b = protowire.AppendTag(b, fSpan, protowire.BytesType)
		b = protowire.AppendBytes(b, r.Span[:])
	}
	b = text(b, fTenant, r.Tenant)
	b = text(b, fAgent, r.Agent)
	b = text(b, fRun, r.Run)
	b = text(b, fClass, r.Class)
	b = text(b, fModel, r.Model)
	b = list(b, fData, r.Data)
	b = text(b, fVerdict, r.Verdict)
	b = text(b, fCode, r.Code)
	b = text(b, fReason, r.Reason)
	b = list(b, fRule, r.Rules)
	b = num(b, fRevision, r.Revision)
	b = text(b, fArm, r.Arm)
	b = num(b, fWaited, r.WaitedMS)
	b = num(b, fRetry, r.RetryMS)
	b = num(b, fLevel, r.Level)
	for i := range r.Draws {
		b = appendDraw(b, &r.Draws[i])
	}
	b = text(b, fAdviceModel, r.AdviceModel)
	b = num(b, fAdviceMax, r.AdviceMax)
	b = num(b, fPrompt, r.Prompt)
	b = num(b, fMaxOutput, r.MaxOutput)
	b = text(b, fState, r.State)
	b = text(b, fOutcome, r.Outcome)
	b = num(b, fUsedPrompt, r.UsedPrompt)
	b = num(b, fUsedOutput, r.UsedOutput)
	b = num(b, fCached, r.Cached)
	b = num(b, fThink, r.Think)
	b = text(b, fWhat, r.What)
	b = text(b, fNode, r.Node)
	b = text(b, fBy, r.By)
	b = text(b, fWhy, r.Why)
	b = text(b, fInstance, r.Instance)
	b = num(b, fTokens, r.Tokens)
	b = num(b, fShares, r.Shares)
	b = text(b, fHash, r.Hash)
	b = num(b, fFrom, r.From)
	b = num(b, fCount, r.Count)
	b = text(b, fUpstream, r.Upstream)
	for i := range r.Shared {
		b = appendStanding(b, &r.Shared[i])
	}
	for i := range r.Samples {
		b = appendSample(b, &r.Samples[i])
	}
	b = text(b, fFlags, r.Flags)
	b = text(b, fExperiment, r.Experiment)
	b = text(b, fTemperature, r.AdviceTemperature)
	b = text(b, fTopP, r.AdviceTopP)
	b = text(b, fScore, r.Score)
	b = text(b, fCaller, r.Caller)
	b = text(b, fCounted, r.Counted)
	return b
}

func appendDraw(b []byte, d *Draw) []byte {
	b, at := begin(b, fDraw)
	b = text(b, dInstance, d.Instance)
	b = text(b, dToken, d.Token)
	b = num(b, dAmount, d.Amount)
	b = num(b, dPrice, d.Price)
	b = num(b, dBefore, d.Before)
	b = num(b, dAfter, d.After)
	b = num(b, dOverrun, d.Overrun)
	return end(b, at)
}

func appendStanding(b []byte, s *Standing) []byte {
	flag := map[bool]int64{true: 1}
	b, at := begin(b, fShared)
	b = text(b, sInstance, s.Instance)
	b = num(b, sAsked, s.Asked)
	b = num(b, sShare, s.Share)
	b = num(b, sSmall, flag[s.Small])
	b = num(b, sUnder, flag[s.Under])
	return end(b, at)
}

func appendSample(b []byte, s *Sample) []byte {
	b, at := begin(b, fSample)
	b = text(b, mSeries, s.Series)
	if bits := math.Float64bits(s.Value); bits != 0 {
		b = protowire.AppendFixed64(protowire.AppendTag(b, mValue, protowire.Fixed64Type), bits)
	}
	return end(b, at)
}

// begin appends the head of a field that holds fields, with room for a length of one byte; they follow, and then end.
func begin(b []byte, f protowire.Number) ([]byte, int) {
	b = append(protowire.AppendTag(b, f, protowire.BytesType), 0)
	return b, len(b)
}

// end writes the length of the field whose content begins at b[at:], which makes room for a longer one if it must.
func end(b []byte, at int) []byte {
	n := uint64(len(b) - at)
	if more := protowire.SizeVarint(n) - 1; more > 0 {
		b = append(b, make([]byte, more)...)
		copy(b[at+more:], b[at:])
	}
	protowire.AppendVarint(b[:at-1], n)
	return b
}

func num(b []byte, f protowire.Number, v int64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, f, protowire.VarintType), protowire.EncodeZigZag(v))
}

func text(b []byte, f protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, f, protowire.BytesType), s)
}

func list(b []byte, f protowire.Number, ss []string) []byte {
	for _, s := range ss { // an empty entry is kept
		b = protowire.AppendString(protowire.AppendTag(b, f, protowire.BytesType), s)
	}
	return b
}

// Decode reads what Append wrote, and nothing else: of a record that says the same in another way, or of one that is
// larger than the bounds, it says so. Fields of a newer version are passed over.
func Decode(b []byte) (Record, error) {
	var r Record
	if len(b) > MaxRecord {
		return r, malformed("%d bytes, at most %d are allowed", len(b), MaxRecord)
	}
	last := protowire.Number(0)
	for len(b) > 0 {
		f, typ, n := protowire.ConsumeTag(b)
		if n < 0 || protowire.SizeTag(f) != n {
			return r, malformed("a field has no number")
		}
		b = b[n:]
		repeats := f == fData || f == fRule || f == fDraw || f == fShared || f == fSample || f > lastField
		if f < last || f == last && !repeats {
			return r, malformed("field %d comes after field %d", f, last)
		}
		last = f
		if f > lastField {
			if n = protowire.ConsumeFieldValue(f, typ, b); n < 0 {
				return r, malformed("field %d: %v", f, protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		v, n, err := consume(f, typ, b)
		if err != nil {
			return r, err
		}
		b = b[n:]
		if err := r.set(f, v); err != nil {
			return r, err
		}
	}
	if r.Kind == 0 || r.At < 0 {
		return r, malformed("kind %d at %d", r.Kind, r.At)
	}
	return r, nil
}

// value is one field as it was read.
type value struct {
	typ protowire.Type
	num int64
	raw []byte
}

func consume(f protowire.Number, typ protowire.Type, b []byte) (v value, n int, err error) {
	v.typ = typ
	switch typ {
	case protowire.VarintType:
		u, n := protowire.ConsumeVarint(b)
		if n < 0 || n != protowire.SizeVarint(u) {
			return v, 0, malformed("field %d is not a number in its shortest form", f)
		}
		v.num = protowire.DecodeZigZag(u)
		return v, n, nil
	case protowire.BytesType:
		raw, n := protowire.ConsumeBytes(b)
		if n < 0 || n != protowire.SizeBytes(len(raw)) {
			return v, 0, malformed("field %d is cut off", f)
		}
		v.raw = raw
		return v, n, nil
	case protowire.Fixed64Type:
		u, n := protowire.ConsumeFixed64(b)
		if n < 0 {
			return v, 0, malformed("field %d is cut off", f)
		}
		v.num = int64(u)
		return v, n, nil
	}
	return v, 0, malformed("field %d has wire type %d", f, typ)
}

func (v *value) number(to *int64) error {
	if v.typ != protowire.VarintType || v.num == 0 {
		return malformed("a number is missing")
	}
	*to = v.num
	return nil
}

// flag is there if it is set.
func (v *value) flag(to *bool) error {
	if v.typ != protowire.VarintType || v.num != 1 {
		return malformed("a flag is not 1")
	}
	*to = true
	return nil
}

func (v *value) text(to *string) error {
	if v.typ != protowire.BytesType || len(v.raw) == 0 || len(v.raw) > maxText {
		return malformed("a text of %d bytes", len(v.raw))
	}
	*to = string(v.raw)
	return nil
}

func (v *value) entry(to *[]string, most int) error {
	if v.typ != protowire.BytesType || len(v.raw) > maxText || len(*to) >= most {
		return malformed("entry %d of a list, of %d bytes", len(*to), len(v.raw))
	}
	*to = append(*to, string(v.raw))
	return nil
}

func (v *value) fixed(to []byte) error {
	zero := true
	for _, c := range v.raw {
		zero = zero && c == 0
	}
	if v.typ != protowire.BytesType || len(v.raw) != len(to) || zero {
		return malformed("an id of %d bytes", len(v.raw))
	}
	copy(to, v.raw)
	return nil
}

func (r *Record) set(f protowire.Number, v value) error {
	switch f {
	case fKind:
		var k int64
		if err := v.number(&k); err != nil || k < 0 || k > math.MaxUint8 {
			return malformed("kind %d", k)
		}
		r.Kind = Kind(k)
		return nil
	case fTrace:
		return v.fixed(r.Trace[:])
	case fSpan:
		return v.fixed(r.Span[:])
	case fData:
		return v.entry(&r.Data, maxData)
	case fRule:
		return v.entry(&r.Rules, maxList)
	case fDraw:
		if v.typ != protowire.BytesType || len(r.Draws) >= maxList {
			return malformed("draw %d", len(r.Draws))
		}
		d, err := decodeDraw(v.raw)
		r.Draws = append(r.Draws, d)
		return err
	case fShared:
		if v.typ != protowire.BytesType || len(r.Shared) >= maxList {
			return malformed("standing %d", len(r.Shared))
		}
		s, err := decodeStanding(v.raw)
		r.Shared = append(r.Shared, s)
		return err
	case fSample:
		if v.typ != protowire.BytesType || len(r.Samples) >= MaxSamples {
			return malformed("sample %d", len(r.Samples))
		}
		s, err := decodeSample(v.raw)
		r.Samples = append(r.Samples, s)
		return err
	}
	if to := r.numberOf(f); to != nil {
		return v.number(to)
	}
	return v.text(r.textOf(f))
}

func (r *Record) numberOf(f protowire.Number) *int64 {
	switch f {
	case fAt:
		return &r.At
	case fRevision:
		return &r.Revision
	case fWaited:
		return &r.WaitedMS
	case fRetry:
		return &r.RetryMS
	case fLevel:
		return &r.Level
	case fAdviceMax:
		return &r.AdviceMax
	case fPrompt:
		return &r.Prompt
	case fMaxOutput:
		return &r.MaxOutput
	case fUsedPrompt:
		return &r.UsedPrompt
	case fUsedOutput:
		return &r.UsedOutput
	case fCached:
		return &r.Cached
	case fThink:
		return &r.Think
	case fTokens:
		return &r.Tokens
	case fShares:
		return &r.Shares
	case fFrom:
		return &r.From
	case fCount:
		return &r.Count
	}
	return nil
}

func (r *Record) textOf(f protowire.Number) *string {
	of := [...]protowire.Number{
		fID, fTenant, fAgent, fRun, fClass, fModel, fVerdict, fCode, fReason, fArm, fAdviceModel,
		fState, fOutcome, fWhat, fNode, fBy, fWhy, fInstance, fHash, fUpstream,
		fFlags, fExperiment, fTemperature, fTopP, fScore, fCaller, fCounted,
	}
	for i, to := range r.texts() {
		if of[i] == f {
			return to
		}
	}
	panic(fmt.Sprintf("BUG: field %d is nowhere", f))
}

// fields gives set the fields of a record's part, ascending and each once, up to last; those of a newer version are passed over.
func fields(b []byte, what string, highest protowire.Number, set func(f protowire.Number, v *value) error) error {
	last := protowire.Number(0)
	for len(b) > 0 {
		f, typ, n := protowire.ConsumeTag(b)
		if n < 0 || protowire.SizeTag(f) != n || f <= last && f <= highest || f < last {
			return malformed("a %s's field %d comes after %d", what, f, last)
		}
		last, b = f, b[n:]
		if f > highest {
			if n = protowire.ConsumeFieldValue(f, typ, b); n < 0 {
				return malformed("a %s's field %d: %v", what, f, protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		v, n, err := consume(f, typ, b)
		if err != nil {
			return err
		}
		b = b[n:]
		if err := set(f, &v); err != nil {
			return err
		}
	}
	return nil
}

func decodeDraw(b []byte) (d Draw, err error) {
	return d, fields(b, "draw", lastDraw, func(f protowire.Number, v *value) error {
		switch f {
		case dInstance:
			return v.text(&d.Instance)
		case dToken:
			return v.text(&d.Token)
		}
		return v.number([]*int64{&d.Amount, &d.Price, &d.Before, &d.After, &d.Overrun}[f-dAmount])
	})
}

func decodeStanding(b []byte) (s Standing, err error) {
	return s, fields(b, "standing", lastStanding, func(f protowire.Number, v *value) error {
		switch f {
		case sInstance:
			return v.text(&s.Instance)
		case sAsked:
			return v.number(&s.Asked)
		case sShare:
			return v.number(&s.Share)
		}
		return v.flag([]*bool{&s.Small, &s.Under}[f-sSmall])
	})
}

func decodeSample(b []byte) (s Sample, err error) {
	return s, fields(b, "sample", lastSample, func(f protowire.Number, v *value) error {
		if f == mSeries {
			return v.text(&s.Series)
		}
		if v.typ != protowire.Fixed64Type || v.num == 0 {
			return malformed("a value is missing")
		}
		s.Value = math.Float64frombits(uint64(v.num))
		return nil
	})
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
