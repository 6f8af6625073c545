package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func rate(t testing.TB, text string) function.Rate {
	t.Helper()
	r, err := function.ParseRate(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTake(t *testing.T) {
	l := New(0)
	key := l.Named("fn", 'u', "alice")
	start := time.Now()
	type step struct {
		at   time.Duration
		wait time.Duration
	}
	for text, steps := range map[string][]step{
		"2/s": {
			{0, 0}, {0, 0}, {0, 500 * time.Millisecond}, {499 * time.Millisecond, time.Millisecond},
			{500 * time.Millisecond, 0}, {500 * time.Millisecond, 500 * time.Millisecond},
			{10 * time.Second, 0}, {10 * time.Second, 0}, {10 * time.Second, 500 * time.Millisecond},
		},
		"60/m burst 1": {{0, 0}, {0, time.Second}, {time.Second, 0}, {1500 * time.Millisecond, 500 * time.Millisecond}, {2 * time.Second, 0}},
		"1/h burst 3": {{0, 0}, {0, 0}, {0, 0}, {0, time.Hour}, {59 * time.Minute, time.Minute}, {time.Hour, 0}, {2 * time.Hour, 0},
			{5 * time.Hour, 0}, {5 * time.Hour, 0}, {5 * time.Hour, 0}, {5 * time.Hour, time.Hour}},
		"off": {{0, 0}, {0, 0}, {0, 0}},
	} {
		start = start.Add(1000 * time.Hour) // all is forgiven
		for i, s := range steps {
			if got := l.Take(key, rate(t, text), start.Add(s.at)); got != s.wait {
				t.Errorf("%s: step %d at %s: wait %s, want %s", text, i, s.at, got, s.wait)
			}
		}
	}
	if l.Take(key, function.Rate{}, start) != 0 || l.Len() != 1 {
		t.Errorf("%d callers", l.Len())
	}
}

// Over any time a caller gets the burst and what the rate gives, not more, and
// one that waits as long as it is told not less.
func TestTakeOverTime(t *testing.T) {
	for range 200 {
		l := New(0)
		r := function.Rate{Requests: 1 + rand.IntN(50), Per: time.Second, Burst: 1 + rand.IntN(60)}
		start := time.Now()
		taken, at := 0, time.Duration(0)
		for range 500 {
			if wait := l.Take(1, r, start.Add(at)); wait == 0 {
				taken++
			} else {
				if l.Take(1, r, start.Add(at+wait-1)) == 0 {
					t.Fatalf("%v: let in before it was told to come back", r)
				}
				at += wait
				if l.Take(1, r, start.Add(at)) != 0 {
					t.Fatalf("%v: came back in time and was refused", r)
				}
				taken++
			}
			at += time.Duration(rand.Int64N(int64(time.Second) / int64(r.Requests) * 2))
			if most := float64(r.Burst) + at.Seconds()*float64(r.Requests)*(1+1e-6) + 1; float64(taken) > most {
				t.Fatalf("%v: %d in %s", r, taken, at)
			}
		}
	}
}

// A lowered rate holds at once, and a debt made under a generous one does not
// lock its caller out.
func TestRateChanges(t *testing.T) {
	l, now := New(0), time.Now()
	for range 1000 {
		l.Take(7, rate(t, "1000/h"), now)
	}
	if wait := l.Take(7, rate(t, "10/s"), now); wait != 100*time.Millisecond {
		t.Errorf("wait %s", wait)
	}
	if wait := l.Take(7, rate(t, "10/s"), now.Add(100*time.Millisecond)); wait != 0 {
		t.Errorf("wait %s", wait)
	}
}

func TestKeys(t *testing.T) {
	l := New(0)
	addr := netip.MustParseAddr
	for _, same := range [][2]Key{
		{l.Named("fn", 'u', "alice"), l.Named("fn", 'u', "alice")},
		{l.Address("fn", 'a', addr("192.0.2.1")), l.Address("fn", 'a', addr("::ffff:192.0.2.1"))},
		{l.Address("fn", 'a', addr("2001:db8:1:2::1")), l.Address("fn", 'a', addr("2001:db8:1:2:ffff::9"))},
		{l.Address("fn", 'a', addr("fe80::1%eth0")), l.Address("fn", 'a', addr("fe80::2"))},
	} {
		if same[0] != same[1] {
			t.Error("one caller has two keys")
		}
	}
	all := map[Key]string{}
	for name, key := range map[string]Key{
		"user": l.Named("fn", 'u', "alice"), "other user": l.Named("fn", 'u', "bob"), "other function": l.Named("fn2", 'u', "alice"),
		"other kind": l.Named("fn", 's', "alice"), "shifted": l.Named("f", 'n', "alice"), "nobody": l.Named("fn", 'u', ""),
		"address": l.Address("fn", 'a', addr("192.0.2.1")), "other address": l.Address("fn", 'a', addr("192.0.2.2")),
		"IPv6": l.Address("fn", 'a', addr("2001:db8:1:2::1")), "other network": l.Address("fn", 'a', addr("2001:db8:1:3::1")),
		"none": l.Address("fn", 'a', netip.Addr{}), "address elsewhere": l.Address("fn2", 'a', addr("192.0.2.1")),
		"another seed": New(0).Named("fn", 'u', "alice"),
	} {
		if had, ok := all[key]; ok {
			t.Errorf("%s and %s share a key", had, name)
		}
		all[key] = name
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const callers = 6400
	l, now := New(callers), time.Now()
	r := rate(t, "1/s burst 10")
	debtor := Key(rand.Uint64())
	for l.Take(debtor, r, now) == 0 {
	}
	for range 20 * callers { // a flood from other addresses
		l.Take(Key(rand.Uint64()), r, now)
		if l.Len() > callers {
			t.Fatalf("%d callers are remembered", l.Len())
		}
	}
	if l.Len() < callers*9/10 {
		t.Errorf("only %d callers are remembered", l.Len())
	}
	if l.Take(debtor, r, now) == 0 {
		t.Error("who owes most was forgotten for those who owe least")
	}
	// Those who owe nothing any more go first.
	now = now.Add(time.Minute)
	fresh := make([]Key, callers/10)
	for i := range fresh {
		fresh[i] = Key(rand.Uint64())
		l.Take(fresh[i], rate(t, "1/h"), now)
	}
	kept := 0
	for _, key := range fresh {
		if l.Take(key, rate(t, "1/h"), now) > 0 {
			kept++
		}
	}
	if kept < len(fresh)*9/10 {
		t.Errorf("of %d new callers %d are remembered, though old ones owe nothing", len(fresh), kept)
	}
}

// The size that DefaultCallers promises.
func TestMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l, now, r := New(0), time.Now(), rate(t, "1/h")
	for range 5 * DefaultCallers {
		l.Take(Key(rand.Uint64()), r, now)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d callers in %d kB", l.Len(), used>>10)
	if used > 6<<20 {
		t.Errorf("%d bytes", used)
	}
	runtime.KeepAlive(l)
}

func TestConcurrentTake(t *testing.T) {
	l, now := New(1000), time.Now()
	r := function.Rate{Requests: 1, Per: time.Hour, Burst: 100}
	var taken [10]atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				if l.Take(l.Named("fn", 'u', fmt.Sprint(i%10)), r, now) == 0 {
					taken[i%10].Add(1)
				}
			}
		})
	}
	all.Wait()
	for i := range taken {
		if n := taken[i].Load(); n != 100 {
			t.Errorf("caller %d was let in %d times", i, n)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	r := function.Rate{Requests: function.MaxRate, Per: time.Second, Burst: function.MaxRate}
	addrs := make([]netip.Addr, 1<<16)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
	}
	b.Run("one caller", func(b *testing.B) {
		b.ReportAllocs()
		l := New(0)
		for b.Loop() {
			l.Take(l.Address("hello", 'a', addrs[0]), r, time.Now())
		}
	})
	b.Run("many callers", func(b *testing.B) {
		b.ReportAllocs()
		l, i := New(0), 0
		for b.Loop() {
			l.Take(l.Address("hello", 'a', addrs[i&(1<<16-1)]), r, time.Now())
			i++
		}
	})
	b.Run("a flood", func(b *testing.B) { // each caller is new, and the memory full
		b.ReportAllocs()
		l, now := New(1000), time.Now()
		i := uint32(0)
		for b.Loop() {
			l.Take(l.Address("hello", 'a', netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})), function.Rate{Requests: 1, Per: time.Hour, Burst: 1}, now)
			i++
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		l := New(0)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				l.Take(l.Address("hello", 'a', addrs[rand.IntN(1<<16)]), r, time.Now())
			}
		})
	})
}
