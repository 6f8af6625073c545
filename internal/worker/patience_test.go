package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatience(t *testing.T) {
	cause := errors.New("too late")
	for _, d := range []time.Duration{10 * time.Millisecond, time.Second, 2500 * time.Millisecond, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := withPatience(t.Context(), d, cause)
			defer cancel()
			began := time.Now()
			<-ctx.Done()
			if took := time.Since(began); took != d || !errors.Is(context.Cause(ctx), cause) {
				t.Errorf("%s: %s, %v", d, took, context.Cause(ctx))
			}
		})
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := withPatience(t.Context(), d, cause)
			cancel()
			time.Sleep(2 * d)
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", d, err)
			}
		})
	}
}
