package deploy

import (
	"context"
	"errors"
)

// A Reporter hears how a command is going. Its methods are called from one
// goroutine.
type Reporter interface {
	// Begin starts a step, named by a word or two.
	Begin(step string)
	// Now says what is going on in the step. It is news of the moment: on a
	// terminal each replaces the one before, on a pipe a line comes when the
	// text is another one.
	Now(text string)
	// Note is something that stays: an event, a line of the diff.
	Note(text string)
	// Warn is something that the user should look at.
	Warn(text string)
	// End says what came of the step.
	End(result string)
}

// A Confirmer asks the user a question.
type Confirmer interface {
	// Confirm returns nil for a yes, ErrDeclined for a no, and a Problem where
	// nobody can be asked. It returns when ctx ends.
	Confirm(ctx context.Context, question string) error
	// Type has the user type what is expected, for what cannot be undone; the
	// errors are those of Confirm.
	Type(ctx context.Context, question, expected string) error
}

// ErrDeclined is a no to Confirm or Type.
var ErrDeclined = errors.New("declined; nothing was changed")
