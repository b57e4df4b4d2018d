package sim

import "fmt"

var debugHook func(string)

func debug(m any) {
	if debugHook == nil {
		return
	}
	if s, ok := m.(string); ok {
		debugHook(s)
		return
	}
	debugHook(fmt.Sprintf("%T", m))
}
