package pool

import (
	"context"
	"fmt"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// What a change costs where there are a thousand functions: with nothing
// running, and with a worker of one function, whose files are looked at.
func BenchmarkApply(b *testing.B) {
	for _, busy := range []bool{false, true} {
		b.Run(fmt.Sprintf("busy=%t", busy), func(b *testing.B) {
			data := denotest.TempDir(b)
			denotest.IsolatedPackages(b, bundle.PackageCache(data))
			builder, err := bundle.NewBuilder(bundle.Options{Deno: denotest.Binary(b), DenoVersion: "test", DataDir: data})
			if err != nil {
				b.Fatal(err)
			}
			s := newStand(b, func(o *Options) { o.Builder = builder })
			s.starter.host.Runtime.BundleDir = bundle.BundleDir(data)
			for i := range 1000 {
				s.write(fmt.Sprintf("fn%03d", i), hello, func(f *function.Function) {
					f.Env = map[string]string{"A": "1", "B": "2", "C": "3"}
				})
			}
			s.apply()
			if busy {
				s.get("fn000")
			}
			set := function.NewSet(s.set...)
			b.ResetTimer()
			for b.Loop() {
				if _, err := s.Apply(set); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAcquire is the pool's share of a request.
func BenchmarkAcquire(b *testing.B) {
	s := newStand(b)
	s.serve("fn", hello)
	s.get("fn")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l, err := s.Acquire(context.Background(), "fn")
			if err != nil {
				b.Error(err)
				return
			}
			l.Release()
		}
	})
}

// BenchmarkColdStart is a request to a function without a worker, whose bundle
// is there.
func BenchmarkColdStart(b *testing.B) {
	for _, n := range []int{0, 2} {
		b.Run(fmt.Sprintf("prestart=%d", n), func(b *testing.B) {
			s := newStand(b, func(o *Options) { o.Prestart = n })
			s.serve("fn", hello, policy(function.OneShot))
			for b.Loop() {
				if _, err := s.try(context.Background(), "fn"); err != nil {
					b.Fatal(describe(err))
				}
				b.StopTimer()
				s.settled("rest", func(st Stats) bool { return st.Workers == 0 && st.Idle == n })
				b.StartTimer()
			}
		})
	}
}
