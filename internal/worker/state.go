package worker

import "fmt"

// A State is where a worker is in its life. It only moves forward.
type State int

// The states, in order. A worker can leave each of them for Stopping or
// Exited; otherwise it goes from one to the next.
const (
	// Starting: the process is spawned, its bootstrap not yet up.
	Starting State = iota
	// Idle: the bootstrap is up and waits to be told a function.
	Idle
	// Loading: the function's module is being evaluated.
	Loading
	// Ready: the function serves.
	Ready
	// Retiring: the function was told to finish; it gets no new requests.
	Retiring
	// Stopping: the process was told to end.
	Stopping
	// Exited: the process is gone and its folder removed.
	Exited
)

var stateNames = [...]string{"starting", "idle", "loading", "ready", "retiring", "stopping", "exited"}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// legal reports whether a worker may move from s to next.
func (s State) legal(next State) bool {
	switch next {
	case Exited:
		return s != Exited
	case Stopping:
		return s < Stopping
	default:
		return next == s+1
	}
}

// A TransitionError is a move that a worker's life does not have; it is a
// mistake of the caller.
type TransitionError struct {
	ID       string
	From, To State
}

func (e *TransitionError) Error() string {
	return fmt.Sprintf("worker %s cannot go from %s to %s", e.ID, e.From, e.To)
}
