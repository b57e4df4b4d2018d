package ledger_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

const benchNow = Instant(1_700_000_000_000)

// ample returns accounts whose rights and marks last for the whole benchmark.
func ample(b *testing.B, n int) []*Account {
	specs := make([]Spec, n)
	for i := range specs {
		specs[i] = Spec{Kind: Grant, Amount: MaxTokens}
	}
	_, as := single(b, benchNow, specs...)
	return as
}

func BenchmarkReserveSettle(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			as := ample(b, n)
			takes := make([]Take, n)
			b.ReportAllocs()
			for b.Loop() {
				for i := range takes {
					takes[i] = Take{Account: as[i], Amount: 1800}
				}
				if why, _ := Reserve(benchNow, benchNow+1000, takes, false); why != Enough {
					b.Fatal(why)
				}
				for i := range takes {
					takes[i].Account.Settle(benchNow, 1800, 0, takes[i].Window)
				}
			}
		})
	}
}

// BenchmarkReserveSettleParallel: with -cpu 1,2; "same" is all on one account, "own" each goroutine on its own.
func BenchmarkReserveSettleParallel(b *testing.B) {
	for _, own := range []bool{false, true} {
		name := "same"
		if own {
			name = "own"
		}
		b.Run(name, func(b *testing.B) {
			as := ample(b, 8)
			var next atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				a := as[0]
				if own {
					a = as[int(next.Add(1))%len(as)]
				}
				takes := make([]Take, 1, 8) // a cache line of its own
				for pb.Next() {
					takes[0] = Take{Account: a, Amount: 1800}
					if why, _ := Reserve(benchNow, benchNow+1000, takes, false); why == Enough {
						a.Settle(benchNow, 1800, 0, takes[0].Window)
					}
				}
			})
		})
	}
}

func benchRows(n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{
			Holder: Holder{Node: fmt.Sprintf("node-%03d", i%1000), Gen: 7}, Instance: InstanceID(fmt.Sprintf("tenant-day/t%d@1f0c94a2b7e3", i/1000)),
			Version: 1, Shares: 1_000_000, Issued: 10_000, Spent: 4_000, Surplus: 3_000, Demand: 90,
		}
	}
	return rows
}

// BenchmarkMerge merges 100,000 rows of 1,000 holders into a replica that knows an older version of each.
func BenchmarkMerge(b *testing.B) {
	rows := benchRows(100_000)
	r, _ := single(b, benchNow)
	if err := r.Receive(benchNow, rows); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		rows = slices.Clone(rows) // the replica keeps those that it was given
		for i := range rows {
			rows[i].Version++
		}
		b.StartTimer()
		if err := r.Receive(benchNow, rows); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		r.Writes(benchNow)
		r.Commit(benchNow)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/row")
}

func BenchmarkRowCodec(b *testing.B) {
	rows := benchRows(1)
	enc := Encode(rows)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Encode(rows)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(enc); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(len(enc)), "bytes")
}

// BenchmarkTick: accounts that nothing happens to, and accounts that all had a call since the last tick.
func BenchmarkTick(b *testing.B) {
	for _, c := range []struct {
		name       string
		idle, busy int
	}{{"10000-quiet", 10_000, 0}, {"1000-busy", 0, 1000}} {
		b.Run(c.name, func(b *testing.B) {
			specs := make([]Spec, c.idle+c.busy)
			for i := range specs {
				specs[i] = Spec{Kind: Grant, Amount: MaxTokens}
			}
			r, as := single(b, benchNow, specs...)
			now := benchNow
			tick := func() {
				now += 50
				r.Tick(now)
				r.Writes(now)
				r.Commit(now)
			}
			for range 2000 { // until the quiet ones are at rest
				tick()
			}
			takes := make([]Take, 1, 8) // a cache line of its own
			b.ReportAllocs()
			for b.Loop() {
				for _, a := range as[:c.busy] {
					takes[0] = Take{Account: a, Amount: 1800}
					if why, _ := Reserve(now, now+1000, takes, false); why == Enough {
						a.Settle(now, 1800, 0, takes[0].Window)
					}
				}
				tick()
			}
		})
	}
}

// BenchmarkOutlook is what every refusal asks, of an instance in which 1,000 peers hold rights.
func BenchmarkOutlook(b *testing.B) {
	r, as := single(b, benchNow, Spec{Kind: Grant, Amount: MaxTokens})
	id := as[0].ID()
	rows := benchRows(1000)
	peers := make([]Peer, len(rows))
	for i := range rows {
		rows[i].Instance = id
		peers[i] = Peer{Holder: rows[i].Holder, Alive: i%10 > 0}
	}
	r.SetPeers(peers)
	if err := r.Receive(benchNow, rows); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if o := r.Outlook(benchNow, id, 100); o.Swarm == 0 {
			b.Fatal(o)
		}
	}
}
