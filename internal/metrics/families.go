package metrics

import "github.com/prometheus/client_golang/prometheus"

// Upper bounds of histograms, in seconds. An answer of a function takes from
// parts of a millisecond to the 150 s after which clients are told that it
// takes too long.
var (
	requestBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 150}
	queueBuckets   = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	startBuckets   = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// families are what is counted by function, when it happens.
type families struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	queue    *prometheus.HistogramVec
	rejected *prometheus.CounterVec
	cut      *prometheus.CounterVec
	retries  *prometheus.CounterVec
	bytes    *prometheus.CounterVec

	starts   *prometheus.HistogramVec
	phases   *prometheus.HistogramVec
	failures *prometheus.CounterVec
	exits    *prometheus.CounterVec
}

func newFamilies() families {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "selvedge", Name: name, Help: help}, append([]string{"function"}, labels...))
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "selvedge", Name: name, Help: help, Buckets: buckets}, append([]string{"function"}, labels...))
	}
	return families{
		requests: counter("requests_total", "Requests that ended. method is other for one that functions cannot be called with. code is 101 for upgraded connections, 499 where nobody waited for the answer any more, none where there was none for another reason, and a class such as 5xx for numbers without a meaning.", "method", "code"),
		duration: histogram("request_duration_seconds", "Time from a request's head to the end of its answer, without upgraded connections.", requestBuckets),
		queue:    histogram("request_queue_seconds", "Time that requests waited for a worker, with those that got none.", queueBuckets),
		rejected: counter("requests_rejected_total", "Requests that the platform answered in the function's place. reason is the answer's sb-error-code in small letters or, for OVERLOADED, of what there was too much: queue_full, queue_timeout, rate_limit, open_requests or shutdown.", "reason"),
		cut:      counter("requests_cut_total", "Requests without a whole answer. by is who broke them off: client, worker or shutdown.", "by"),
		retries:  counter("request_retries_total", "Requests that a second worker was asked, because the first one had gone before the function can have run."),
		bytes:    counter("response_body_bytes_total", "Bytes of the bodies of answers, and of what functions sent through upgraded connections."),

		starts:   histogram("cold_start_seconds", "Time from the first need of a worker to one that serves. bundle is cached or built.", startBuckets, "bundle"),
		phases:   histogram("cold_start_phase_seconds", "Parts of selvedge_cold_start_seconds. phase is queue (for a place among the starts), bundle, spawn (of a process; 0 for a pre-started one) or load (of the function).", startBuckets, "phase"),
		failures: counter("boot_failures_total", "Starts that failed. stage is bundle, load, serve or other.", "stage"),
		exits:    counter("worker_exits_total", "Workers that ended after they had served. reason is early_drop (idle), code_changed, termination_requested (of the server), cpu_time, memory, wall_clock_time, tmp_size, exited (by itself) or other.", "reason"),
	}
}

func (f *families) all() []prometheus.Collector {
	return []prometheus.Collector{
		f.requests, f.duration, f.queue, f.rejected, f.cut, f.retries, f.bytes,
		f.starts, f.phases, f.failures, f.exits,
	}
}

// forget deletes every series of a function.
func (f *families) forget(slug string) {
	for _, c := range f.all() {
		c.(interface{ DeletePartialMatch(prometheus.Labels) int }).DeletePartialMatch(prometheus.Labels{"function": slug})
	}
}
