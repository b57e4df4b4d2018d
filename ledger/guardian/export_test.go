package guardian

import (
	"fmt"
	"slices"
	"time"
)

// CheckQuiet says what would be noted that is said to have time.
func (m *Machine) CheckQuiet(now time.Duration) error {
	if m.own == nil || now >= m.quiet {
		return nil
	}
	quiet, counts, standing, sends := m.quiet, m.counts, slices.Clone(m.own.standing), len(m.batch.sends)
	m.quiet = 0
	m.notes(now)
	said := m.batch.sends[sends:]
	m.quiet, m.counts, m.own.standing, m.batch.sends = quiet, counts, standing, m.batch.sends[:sends]
	if len(said) > 0 {
		return fmt.Errorf("%v has time until %v and says at %v: %+v", m.self, quiet, now, said[0].Message)
	}
	return nil
}
