package auth

import (
	"sync"
	"time"
)

// A cache remembers verified tokens by their digest, so that no token lies in
// memory because of it. It is bounded: the one that was unused for longest
// goes first.
type cache struct {
	size int

	mu      sync.Mutex
	entries map[digest]*entry
	ring    entry // ring.next is the newest, ring.prev the oldest
}

type entry struct {
	digest     digest
	identity   Identity
	keys       *keySet // that verified it, nil for the secret
	next, prev *entry
}

func newCache(size int) *cache {
	if size <= 0 {
		size = DefaultCacheSize
	}
	c := &cache{size: size, entries: map[digest]*entry{}}
	c.ring.next, c.ring.prev = &c.ring, &c.ring
	return c
}

// get returns a token's identity and the key set that verified it, unless the
// token has expired since.
func (c *cache) get(sum *digest, now time.Time) (Identity, *keySet, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[*sum]
	if e == nil {
		return Identity{}, nil, false
	}
	if exp := e.identity.Expires; !exp.IsZero() && !now.Before(exp.Add(Leeway)) {
		c.remove(e)
		return Identity{}, nil, false
	}
	e.unlink()
	c.link(e)
	return e.identity, e.keys, true
}

// put remembers a token. Without a cache it is a no-op.
func (c *cache) put(sum digest, id Identity, keys *keySet) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if had := c.entries[sum]; had != nil {
		c.remove(had)
	} else if len(c.entries) >= c.size {
		c.remove(c.ring.prev)
	}
	e := &entry{digest: sum, identity: id, keys: keys}
	c.entries[sum] = e
	c.link(e)
}

func (c *cache) remove(e *entry) {
	e.unlink()
	delete(c.entries, e.digest)
}

func (c *cache) link(e *entry) {
	e.prev, e.next = &c.ring, c.ring.next
	e.prev.next, e.next.prev = e, e
}

func (e *entry) unlink() { e.prev.next, e.next.prev = e.next, e.prev }
