package recent

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// headSize is what stands before each line in a ring: its sequence number, its
// time in Unix nanoseconds, its level and its length.
const headSize = 8 + 8 + 4 + 4

// A ring holds lines, the last ones, in one piece of memory: a line costs no
// allocation.
type ring struct {
	limit int // of len(buf)

	mu  sync.Mutex
	buf []byte
	// start is where the first line's head is, used how many bytes there are
	// from there on; both go around the end.
	start, used int
	// first is the serial number of the first line, next that of the one to
	// come. A ring's lines are numbered from 0.
	first, next uint64
	// overwrite is set when the ring does not grow any more.
	overwrite bool
	dropped   bool
}

// The results of put.
type result int

const (
	done result = iota
	full
	dropped
)

// put adds a line, with the next number of seq. The number is taken under the
// lock: whoever has seen it in seq and takes the lock then finds the line.
func (r *ring) put(seq *atomic.Uint64, at int64, level int32, line []byte) result {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped {
		return dropped
	}
	need := headSize + len(line)
	for r.used+need > len(r.buf) {
		if !r.overwrite || need > len(r.buf) {
			return full
		}
		r.removeFirst()
	}
	var head [headSize]byte
	binary.LittleEndian.PutUint64(head[0:], seq.Add(1))
	binary.LittleEndian.PutUint64(head[8:], uint64(at))
	binary.LittleEndian.PutUint32(head[16:], uint32(level))
	binary.LittleEndian.PutUint32(head[20:], uint32(len(line)))
	r.append(head[:])
	r.append(line)
	r.next++
	return done
}

func (r *ring) append(p []byte) {
	end := r.start + r.used
	if end >= len(r.buf) {
		end -= len(r.buf)
	}
	n := copy(r.buf[end:], p)
	copy(r.buf, p[n:])
	r.used += len(p)
}

// removeFirst makes room.
func (r *ring) removeFirst() {
	h := r.headAt(r.start)
	n := headSize + h.length
	r.start = (r.start + n) % len(r.buf)
	r.used -= n
	r.first++
}

// A head is what stands before a line.
type head struct {
	seq    uint64
	at     int64
	level  int32
	length int
}

func (r *ring) headAt(offset int) head {
	var b [headSize]byte
	r.copyOut(b[:], offset)
	return head{
		seq:    binary.LittleEndian.Uint64(b[0:]),
		at:     int64(binary.LittleEndian.Uint64(b[8:])),
		level:  int32(binary.LittleEndian.Uint32(b[16:])),
		length: int(binary.LittleEndian.Uint32(b[20:])),
	}
}

func (r *ring) copyOut(p []byte, offset int) {
	n := copy(p, r.buf[offset%len(r.buf):])
	copy(p[n:], r.buf)
}

// read visits the lines from the serial number on, up to the sequence number.
// line copies the text. It returns the serial number to go on with, and how
// many lines were gone already.
func (r *ring) read(from, upTo uint64, visit func(h head, line func() []byte)) (next, lost uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if from < r.first {
		lost = r.first - from
		from = r.first
	}
	offset := r.start
	for serial := r.first; serial < r.next; serial++ {
		h := r.headAt(offset)
		if serial >= from {
			if h.seq > upTo {
				return serial, lost
			}
			text := offset + headSize
			visit(h, func() []byte {
				p := make([]byte, h.length)
				r.copyOut(p, text)
				return p
			})
		}
		offset = (offset + headSize + h.length) % len(r.buf)
	}
	return max(from, r.next), lost
}

// size is how much memory the ring has.
func (r *ring) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.buf)
}

// resize moves the lines to a piece of memory that is not smaller, and returns
// its size.
func (r *ring) resize(size int, overwrite bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.overwrite = overwrite
	if size > len(r.buf) {
		bigger := make([]byte, size)
		if r.used > 0 {
			r.copyOut(bigger[:r.used], r.start)
		}
		r.buf, r.start = bigger, 0
	}
	return len(r.buf)
}

// shrink keeps the last lines that fit into size, and no more memory than that.
// It returns how much less there is. The ring may grow again.
func (r *ring) shrink(size int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.buf)
	if r.dropped || before <= size {
		return 0
	}
	for r.used > size {
		r.removeFirst()
	}
	smaller := make([]byte, size)
	if r.used > 0 {
		r.copyOut(smaller[:r.used], r.start)
	}
	r.buf, r.start, r.overwrite = smaller, 0, false
	return before - size
}

// drop gives the memory back and refuses further lines. It returns how much it
// was.
func (r *ring) drop() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.buf)
	r.buf, r.start, r.used = nil, 0, 0
	r.first = r.next
	r.dropped = true
	return n
}
