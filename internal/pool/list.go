package pool

// links are what a list keeps in each of its elements.
type links[T any] struct{ next, prev *T }

func (l *links[T]) chain() *links[T] { return l }

// linked is a *T that embeds links[T].
type linked[T any] interface {
	*T
	chain() *links[T]
}

// A list holds its elements in the order they came. Unlike container/list it
// allocates nothing, and any element can leave at once.
type list[T any, P linked[T]] struct{ first, last P }

func (s *list[T, P]) push(e P) {
	e.chain().prev = s.last
	if s.last == nil {
		s.first = e
	} else {
		s.last.chain().next = e
	}
	s.last = e
}

// remove takes out e, which must be in.
func (s *list[T, P]) remove(e P) {
	l := e.chain()
	if l.prev == nil {
		s.first = l.next
	} else {
		P(l.prev).chain().next = l.next
	}
	if l.next == nil {
		s.last = l.prev
	} else {
		P(l.next).chain().prev = l.prev
	}
	*l = links[T]{}
}
