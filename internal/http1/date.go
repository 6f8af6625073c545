package http1

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A dateLine is the Date header of one second, formatted once.
type dateLine struct {
	second int64
	line   string
}

var lastDate atomic.Pointer[dateLine]

// appendDate appends the Date header (RFC 9110, 6.6.1).
func appendDate(b []byte, now time.Time) []byte {
	second := now.Unix()
	d := lastDate.Load()
	if d == nil || d.second != second {
		d = &dateLine{second, "Date: " + now.UTC().Format(http.TimeFormat) + "\r\n"}
		lastDate.Store(d)
	}
	return append(b, d.line...)
}
