package gateway

import (
	"log/slog"
	"net/http"
	"sync/atomic"
)

// ignored says once that somebody's forwarding headers are not believed: once
// for a neighbour, which is what a proxy in front mostly is, and once for a
// stranger, so that neither hides the other.
type ignored struct{ neighbour, stranger atomic.Bool }

func (g *ignored) note(log *slog.Logger, h http.Header, o *origin) {
	said := &g.stranger
	if a := o.client; a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		said = &g.neighbour
	}
	if said.Load() {
		return
	}
	for _, name := range [...]string{"X-Forwarded-Proto", "X-Forwarded-For", "Forwarded"} {
		if len(h[name]) > 0 {
			if said.CompareAndSwap(false, true) {
				log.Warn("a forwarding header is ignored: it does not come from a trusted proxy; if this is one of yours, set --trusted-proxies",
					"header", name, "from", o.ip)
			}
			return
		}
	}
}
