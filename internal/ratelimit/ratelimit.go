// Package ratelimit counts how often callers call, in memory that is bounded
// whoever they are.
//
// It is the generic cell rate algorithm (ITU-T I.371): what is remembered of a
// caller is the one moment at which all it has had would be paid back, were
// requests paid at the rate's steady pace. Once that moment is past there is
// nothing to remember, so forgetting such a caller changes nothing.
package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// DefaultCallers is how many callers a Limiter remembers, in about 5 MB.
const DefaultCallers = 100_000

const (
	shards = 64
	// examined is how many callers are looked at to make room for one more.
	examined = 8
)

// A Limiter remembers callers. Its methods may be called at the same time.
type Limiter struct {
	seed   maphash.Seed
	base   time.Time
	most   int // callers of a shard
	shards [shards]shard
}

type shard struct {
	mu  sync.Mutex
	due map[Key]int64 // when all is paid back, in nanoseconds from base
	_   [40]byte      // keeps shards out of each other's cache lines
}

// New returns a Limiter for so many callers, 0 for DefaultCallers. When there
// are more, those that owe least are forgotten first: a flood from any number of
// addresses can make the limiter lenient, but not large.
func New(callers int) *Limiter {
	if callers <= 0 {
		callers = DefaultCallers
	}
	return &Limiter{seed: maphash.MakeSeed(), base: time.Now(), most: max(1, callers/shards)}
}

// A Key stands for one caller of one function. It is a hash whose seed nobody
// knows: two of 100,000 callers share one with a chance of 1 in a billion, and
// none can choose to.
type Key uint64

// Named is the key of a caller with a name, such as a token's subject. Names of
// different kinds are different callers.
func (l *Limiter) Named(function string, kind byte, name string) Key {
	var h maphash.Hash
	h.SetSeed(l.seed)
	h.WriteString(function)
	h.WriteByte(0)
	h.WriteByte(kind)
	h.WriteString(name)
	return Key(h.Sum64())
}

// Address is the key of a caller that is known only by its address. All of an
// IPv6 network of 64 bits is one caller, since that is what one host is given.
func (l *Limiter) Address(function string, kind byte, a netip.Addr) Key {
	b := a.Unmap().As16()
	if !a.Unmap().Is4() {
		clear(b[8:])
	}
	var h maphash.Hash
	h.SetSeed(l.seed)
	h.WriteString(function)
	h.WriteByte(0)
	h.WriteByte(kind)
	h.Write(b[:])
	return Key(h.Sum64())
}

// Take counts a request at the time now, if the rate allows it. Otherwise the
// request is not counted and wait, above 0, is when one would be allowed.
func (l *Limiter) Take(key Key, rate function.Rate, now time.Time) (wait time.Duration) {
	if !rate.Limited() {
		return 0
	}
	at := int64(now.Sub(l.base))
	each := int64(rate.Per) / int64(rate.Requests)
	all := each * int64(rate.Burst)

	s := &l.shards[key%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	due, known := s.due[key]
	due = max(due, at)
	if due > at+all {
		// The rate was changed. Nobody owes more than one can by the new one.
		due = at + all
		s.due[key] = due
	}
	if over := due + each - (at + all); over > 0 {
		return time.Duration(over)
	}
	if !known {
		if s.due == nil {
			s.due = make(map[Key]int64)
		}
		if len(s.due) >= l.most {
			s.forget(at)
		}
	}
	s.due[key] = due + each
	return 0
}

// forget makes room for a caller: of some that chance picks, all that owe
// nothing go, or else the one that owes least.
func (s *shard) forget(at int64) {
	var least Key
	var owes int64
	n := 0
	for key, due := range s.due {
		if due <= at {
			delete(s.due, key)
			owes = -1
		} else if n == 0 || owes >= 0 && due < owes {
			least, owes = key, due
		}
		if n++; n == examined {
			break
		}
	}
	if owes >= 0 {
		delete(s.due, least)
	}
}

// Len is how many callers are remembered.
func (l *Limiter) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.due)
		s.mu.Unlock()
	}
	return n
}
