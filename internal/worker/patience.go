package worker

import (
	"context"
	"sync"
	"time"
)

// patienceSlice is the longest time that is counted at once.
const patienceSlice = time.Second

// withPatience is context.WithTimeoutCause, but for the time in which the
// server does not run, such as in a container that is paused: of that it counts
// a second. The worker was stopped as well, or could not have been heard.
func withPatience(parent context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	var mu sync.Mutex // held while timer is set
	mu.Lock()
	defer mu.Unlock()
	var timer *time.Timer
	slice := min(d, patienceSlice)
	timer = time.AfterFunc(slice, func() {
		mu.Lock()
		defer mu.Unlock()
		if d -= slice; d <= 0 {
			cancel(cause)
		} else if ctx.Err() == nil {
			slice = min(d, patienceSlice)
			timer.Reset(slice)
		}
	})
	return ctx, func() {
		timer.Stop()
		cancel(context.Canceled)
	}
}
