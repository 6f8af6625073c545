package cli

import (
	"errors"
	"fmt"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/gateway"
)

func TestRejection(t *testing.T) {
	over := func(reason function.Overload) error { return &function.OverloadError{Reason: reason} }
	for _, tc := range []struct {
		code function.Code
		err  error
		want string
	}{
		{"", nil, ""},
		{"", errors.New("the client went away"), ""},
		{gateway.CodeFunctionError, nil, ""}, // the function answered
		{function.CodeNotFound, nil, "NOT_FOUND"},
		{function.CodeBootError, &function.BootError{}, "BOOT_ERROR"},
		{function.CodeOverloaded, over(function.QueueFull), "queue_full"},
		{function.CodeOverloaded, fmt.Errorf("acquire: %w", over(function.RateLimited)), "rate_limit"},
		{function.CodeOverloaded, function.ErrClosed, "shutdown"},
		{function.CodeOverloaded, function.ErrOverloaded, "OVERLOADED"},
	} {
		if got := rejection(gateway.Record{Code: tc.code, Err: tc.err}); got != tc.want {
			t.Errorf("%s with %v is %q, want %q", tc.code, tc.err, got, tc.want)
		}
	}
}
