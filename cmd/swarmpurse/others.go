package main

import (
	"slices"
	"sync"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// askedAtOnce bounds the members that are asked at one time.
const askedAtOnce = 16

// askOthers asks the members that are alive, but for the node itself and those of other kinds, a few at a time. got takes their answers, one after the other. Those
// that did not answer are silent, by name.
func askOthers[T any](members []api.Member, ask func(node string) (T, error), got func(T)) (silent []string) {
	var mu sync.Mutex
	var wait sync.WaitGroup
	room := make(chan struct{}, askedAtOnce)
	for _, m := range members {
		if m.Self || m.Foreign || m.Status != "alive" {
			continue
		}
		room <- struct{}{}
		wait.Go(func() {
			defer func() { <-room }()
			x, err := ask(m.HTTP)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				silent = append(silent, m.Name)
				return
			}
			got(x)
		})
	}
	wait.Wait()
	slices.Sort(silent)
	return silent
}
