package recent

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// headSize is what stands before each line in a ring: its sequence number, its
// time in Unix nanoseconds, its level and its length.
const headSize = 8 + 8 + 4 + 4

// A ring holds lines, the last ones, one after the other in a chain of
// segments: a line costs no allocation.
type ring struct {
	limit int // segments

	mu       sync.Mutex
	segments [][]byte
	// start is where the first line's head is, in the first segment; used is
	// how many bytes there are from there on.
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
	for r.start+r.used+need > r.size() {
		if !r.overwrite || need > r.size() {
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
	r.used += len(p)
	for len(p) > 0 {
		n := copy(r.segments[end/segmentSize][end%segmentSize:], p)
		p, end = p[n:], end+n
	}
}

// removeFirst makes room. Segments that are empty then come last.
func (r *ring) removeFirst() {
	n := headSize + r.headAt(r.start).length
	r.start += n
	r.used -= n
	r.first++
	empty := r.start / segmentSize
	r.start %= segmentSize
	for range empty {
		s := r.segments[0]
		copy(r.segments, r.segments[1:])
		r.segments[len(r.segments)-1] = s
	}
	if r.used == 0 {
		r.start = 0
	}
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
	for len(p) > 0 {
		n := copy(p, r.segments[offset/segmentSize][offset%segmentSize:])
		p, offset = p[n:], offset+n
	}
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
		offset += headSize + h.length
	}
	return max(from, r.next), lost
}

// size is how much memory the ring has.
func (r *ring) size() int { return len(r.segments) * segmentSize }

// grow adds a segment.
func (r *ring) grow(s []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.segments = append(r.segments, s)
}

// settle has the ring overwrite what is oldest from now on.
func (r *ring) settle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.overwrite = true
}

// shrink keeps the last lines that fit into so many segments, and returns the
// others. The ring may grow again.
func (r *ring) shrink(keep int) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.segments) <= keep {
		return nil
	}
	for r.start+r.used > keep*segmentSize {
		r.removeFirst()
	}
	free := r.segments[keep:]
	r.segments = append(make([][]byte, 0, keep), r.segments[:keep]...)
	r.overwrite = false
	return free
}

// drop returns all segments and refuses further lines.
func (r *ring) drop() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	free := r.segments
	r.segments, r.start, r.used = nil, 0, 0
	r.first = r.next
	r.dropped = true
	return free
}
