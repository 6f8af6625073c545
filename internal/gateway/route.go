package gateway

import (
	"strings"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A RouteKind says whose a request is.
type RouteKind uint8

// The kinds of Route.
const (
	RouteNone     RouteKind = iota // nobody's: 404
	RouteIndex                     // GET /
	RouteHealth                    // GET /health, GET /_internal/health
	RouteMetric                    // GET /_internal/metric
	RouteFunction                  // a function's, if it exists
)

// A Route is where a request target leads.
type Route struct {
	Kind RouteKind
	// Slug is a valid slug when Kind is RouteFunction, else "".
	Slug string
	// Target is the path and query that the function sees, a part of the
	// target as it was received, byte for byte.
	Target string
}

// functionsPrefix is where Supabase's clients expect functions.
const functionsPrefix = "/functions/v1"

// ParseRoute reads a request target as it stands in the request line (RFC
// 9112, 3.2). It decodes and cleans nothing, so no encoded slash and no ".."
// can make one function's path into another's: the slug is what stands between
// two literal slashes, and is refused if it holds anything but a slug's bytes.
func ParseRoute(target string) Route {
	target = originForm(target)
	if target == "" || target[0] != '/' {
		return Route{}
	}
	path, _, _ := strings.Cut(target, "?")
	switch path {
	case "/":
		return Route{Kind: RouteIndex}
	case "/health", "/_internal/health":
		return Route{Kind: RouteHealth}
	case "/_internal/metric":
		return Route{Kind: RouteMetric}
	case functionsPrefix:
		return Route{}
	}
	if strings.HasPrefix(path, functionsPrefix+"/") {
		path, target = path[len(functionsPrefix):], target[len(functionsPrefix):]
	}
	slug, _, _ := strings.Cut(path[1:], "/")
	if !function.ValidSlug(slug) {
		return Route{}
	}
	return Route{Kind: RouteFunction, Slug: slug, Target: target}
}

// originForm cuts scheme and authority off an absolute target, which a server
// must accept (RFC 9112, 3.2.2).
func originForm(target string) string {
	if target == "" || target[0] == '/' {
		return target
	}
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return ""
	}
	i := strings.IndexAny(rest, "/?")
	if i < 0 || rest[i] == '?' {
		return ""
	}
	return rest[i:]
}
