package tracing

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/gateway"
)

// Settings are what the variables of OpenTelemetry say (its specification,
// "Environment Variable Specification" and "OpenTelemetry Protocol Exporter").
type Settings struct {
	// Endpoint is the whole URL that spans are posted to, "" for no tracing.
	Endpoint string
	// Headers are sent with each post.
	Headers map[string]string
	// Resource describes the server, service.name among it.
	Resource map[string]string

	// ofCaller means that a caller's decision to sample holds. Others are
	// sampled up to the bound, of all ids below 2⁶³.
	ofCaller bool
	bound    uint64
}

// everything is the bound that no id reaches.
const everything = 1 << 63

// Read makes settings of variables. lookup is as os.LookupEnv; an empty value
// counts as none.
func Read(lookup func(name string) (string, bool)) (Settings, error) {
	get := func(name string) string {
		v, _ := lookup(name)
		return strings.TrimSpace(v)
	}
	s := Settings{Headers: map[string]string{}, Resource: map[string]string{"service.name": "selvedge"}}
	if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") || get("OTEL_TRACES_EXPORTER") == "none" {
		return s, nil
	}
	name, endpoint := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	suffix := ""
	if endpoint == "" {
		name, endpoint, suffix = "OTEL_EXPORTER_OTLP_ENDPOINT", get("OTEL_EXPORTER_OTLP_ENDPOINT"), "/v1/traces"
	}
	if endpoint == "" {
		return s, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return s, fmt.Errorf("%s=%q is no URL; use one such as http://127.0.0.1:4318", name, endpoint)
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + suffix
	for _, v := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		if err := pairs(s.Headers, get(v)); err != nil {
			return s, fmt.Errorf("%s: %w", v, err) // never the value: it may be a key
		}
	}
	if err := pairs(s.Resource, get("OTEL_RESOURCE_ATTRIBUTES")); err != nil {
		return s, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if v := get("OTEL_SERVICE_NAME"); v != "" {
		s.Resource["service.name"] = v
	}
	if err := s.readSampler(get("OTEL_TRACES_SAMPLER"), get("OTEL_TRACES_SAMPLER_ARG")); err != nil {
		return s, err
	}
	s.Endpoint = u.String() // last: without it nothing is traced
	return s, nil
}

func (s *Settings) readSampler(name, arg string) error {
	if name == "" {
		name = "parentbased_always_on"
	}
	var rest string
	rest, s.ofCaller = strings.CutPrefix(name, "parentbased_")
	switch rest {
	case "always_on":
		s.bound = everything
	case "always_off":
		s.bound = 0
	case "traceidratio":
		ratio := 1.0
		if arg != "" {
			var err error
			if ratio, err = strconv.ParseFloat(arg, 64); err != nil || math.IsNaN(ratio) || ratio < 0 || ratio > 1 {
				return fmt.Errorf("OTEL_TRACES_SAMPLER_ARG=%q: use a share from 0 to 1", arg)
			}
		}
		s.bound = uint64(ratio * everything)
	default:
		return fmt.Errorf("OTEL_TRACES_SAMPLER=%q is unknown; use always_on, always_off or traceidratio, each also with parentbased_ before it", name)
	}
	return nil
}

// sample decides whether a request is recorded. The share is taken of trace
// ids, so that all who decide by it decide the same.
func (s *Settings) sample(caller gateway.TraceParent, known bool) bool {
	if known && s.ofCaller {
		return caller.Sampled
	}
	low, err := strconv.ParseUint(caller.TraceID[16:], 16, 64)
	return err == nil && low>>1 < s.bound
}

// pairs reads "name=value,name=value" with percent-encoded values.
func pairs(into map[string]string, list string) error {
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, value, ok := strings.Cut(item, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			return fmt.Errorf("entry %d is not of the form name=value", len(into)+1)
		}
		into[name] = value
	}
	return nil
}

// Start begins to send spans, if the settings say where to.
func Start(s Settings, version string, log *slog.Logger) *Tracer {
	if s.Endpoint == "" {
		return nil
	}
	t := &Tracer{settings: s}
	t.exporter = newExporter(s, version, log)
	return t
}

// sorted returns the entries of m in the order of their names.
func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
