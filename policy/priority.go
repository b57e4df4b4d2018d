package policy

import "slices"

// PriorityToken is the token type whose tokens are points: a call that asks for priority and draws on a budget of it runs one
// class better.
const PriorityToken = "priority"

// better is the class above one: that of the next greater weight, the first in the document of several. nil above the best.
func (p *Policy) better(c *Class) *Class {
	var next *Class
	for i := range p.classes {
		if o := &p.classes[i]; o.Weight > c.Weight && (next == nil || o.Weight < next.Weight) {
			next = o
		}
	}
	return next
}

// lift puts a plan one class up if its call pays for that in points. A call that cannot pay runs in the class that it named: to the plan
// that is one more way in which its calls may go on.
func (plan *Plan) lift(c *Call) {
	if !c.Priority {
		return
	}
	points := uint32(0)
	for i := range plan.Draws {
		if plan.Draws[i].Budget.Token == PriorityToken {
			points |= 1 << i
		}
	}
	if up := plan.Policy.better(plan.Class); points != 0 && up != nil {
		plan.Lifted, plan.Class = true, up
		plan.Degrades = slices.Insert(plan.Degrades, 0, Degrade{Unlift: true, draws: points})
	}
}
