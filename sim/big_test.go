package sim

import (
	"context"
	"runtime"
	"testing"
	"time"
)

func TestBig(t *testing.T) {
	sc := steady(t, 1000, 20*time.Second)
	sc.Workload[0].Rate = 500
	sc.Policies[0] = bigPolicy(t)
	sc.Rest = 0
	start := time.Now()
	r, err := Swarm(context.Background(), sc, Options{Progress: func(at time.Duration, n uint64) {
		if n%(1<<22) == 0 {
			t.Log(time.Since(start), at, n)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%v %d events, %d MB\n%+v\n%+v", time.Since(start), r.Events, m.Sys>>20, r.Systems[0], r.Violation)
}
