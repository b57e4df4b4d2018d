package outcome

// Moments are what a mean and a variance are worked out from: how many numbers there were, their sum, and that of their squares.
type Moments struct{ N, Sum, Squares float64 }

// Add takes a number in, which must not be negative.
func (m *Moments) Add(v float64) {
	m.N++
	m.Sum += v
	m.Squares += v * v
}

func (m *Moments) add(o *Moments) {
	m.N += o.N
	m.Sum += o.Sum
	m.Squares += o.Squares
}

// Mean is 0 if there is no number.
func (m *Moments) Mean() float64 {
	if m.N == 0 {
		return 0
	}
	return m.Sum / m.N
}

// variance is the mean square of the distances from the mean.
func (m *Moments) variance() float64 {
	if m.N == 0 {
		return 0
	}
	mean := m.Mean()
	return max(0, m.Squares/m.N-mean*mean)
}

// Sums are what became of the calls of one arm of an experiment.
type Sums struct {
	Calls   float64 // decided
	Refused float64 // of them, denied or deferred
	Latency Moments // seconds from a call's admission to its settlement
	Cost    Moments // what it was charged of the experiment's token type, at the first budget of that type
	Score   Moments // what callers said of it, 0 to 1
}

// perArm is how many values an arm takes in a row.
const perArm = 2 + 3*3

// Add sums.
func (s *Sums) Add(o *Sums) {
	s.Calls += o.Calls
	s.Refused += o.Refused
	s.Latency.add(&o.Latency)
	s.Cost.add(&o.Cost)
	s.Score.add(&o.Score)
}

// Values writes the sums of an experiment's arms as those of a Row.
func Values(arms []Sums) []float64 {
	values := make([]float64, 0, perArm*len(arms))
	for i := range arms {
		s := &arms[i]
		values = append(values, s.Calls, s.Refused)
		for _, m := range []*Moments{&s.Latency, &s.Cost, &s.Score} {
			values = append(values, m.N, m.Sum, m.Squares)
		}
	}
	return values
}

// Arms reads what Values wrote, for so many arms; what is missing is 0.
func Arms(values []float64, many int) []Sums {
	arms := make([]Sums, many)
	for i := range arms {
		if len(values) < perArm {
			break
		}
		s := &arms[i]
		s.Calls, s.Refused = values[0], values[1]
		for j, m := range []*Moments{&s.Latency, &s.Cost, &s.Score} {
			m.N, m.Sum, m.Squares = values[2+3*j], values[3+3*j], values[4+3*j]
		}
		values = values[perArm:]
	}
	return arms
}
