package metrics

import "github.com/prometheus/client_golang/prometheus"

// Families whose values are asked for at each scrape.
var (
	functionsDesc = desc("functions", "Functions that there are, with those that cannot be run.")
	inFlightDesc  = desc("requests_in_flight", "Requests that have not ended, upgraded connections among them.")
	upgradedDesc  = desc("upgraded_connections", "Upgraded connections that there are, such as WebSockets.")
	inWorkerDesc  = desc("requests_in_worker", "Requests that workers have, upgraded connections among them.", "function")
	queuedDesc    = desc("requests_queued", "Requests that wait for a worker.", "function")
	workersDesc   = desc("workers", `Worker processes. state is prestarted (without a function, so function is ""), starting, serving or retiring (finishing what it has).`, "function", "state")
	cpuDesc       = desc("worker_cpu_seconds_total", "Processor time that workers used.", "function")
	memoryDesc    = desc("worker_memory_bytes", "Memory that is the workers' alone (Linux; 0 elsewhere).", "function")
	logErrorsDesc = desc("log_write_errors_total", "Lines of the log that could not be written.")
	problemDesc   = desc("problem", "1 for each problem that /health names, such as data_full; nothing while there is none.", "problem")
	scraped       = []*prometheus.Desc{
		functionsDesc, inFlightDesc, upgradedDesc, inWorkerDesc, queuedDesc, workersDesc, cpuDesc, memoryDesc, logErrorsDesc, problemDesc,
	}
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("selvedge_"+name, help, labels, nil)
}

// A usageCollector asks what there is now.
type usageCollector struct{ m *Metrics }

func (c usageCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range scraped {
		ch <- d
	}
}

func (c usageCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	sources := &c.m.sources
	send(functionsDesc, prometheus.GaugeValue, float64(sources.Functions()))
	send(inFlightDesc, prometheus.GaugeValue, float64(sources.InFlight()))
	send(upgradedDesc, prometheus.GaugeValue, float64(sources.Upgraded()))
	send(logErrorsDesc, prometheus.CounterValue, float64(sources.LogErrors()))
	for _, code := range sources.Problems() {
		send(problemDesc, prometheus.GaugeValue, 1, code)
	}
	send(workersDesc, prometheus.GaugeValue, float64(sources.Prestarted()), "", "prestarted")
	for slug, u := range c.m.usage() {
		send(workersDesc, prometheus.GaugeValue, float64(u.Starting), slug, "starting")
		send(workersDesc, prometheus.GaugeValue, float64(u.Serving), slug, "serving")
		send(workersDesc, prometheus.GaugeValue, float64(u.Retiring), slug, "retiring")
		send(inWorkerDesc, prometheus.GaugeValue, float64(u.InFlight), slug)
		send(queuedDesc, prometheus.GaugeValue, float64(u.Queued), slug)
		send(memoryDesc, prometheus.GaugeValue, float64(u.Memory), slug)
		if slug != "" {
			send(cpuDesc, prometheus.CounterValue, u.CPU.Seconds(), slug)
		}
	}
}

// usage is what each function has, under "" what was removed. CPU includes
// workers that have ended. Functions of which nothing was ever seen are left
// out: there may be thousands.
func (m *Metrics) usage() map[string]Usage {
	all := map[string]Usage{"": {}}
	// Before the workers are asked: one that ends in between is missed in this
	// scrape, which is made good below, instead of counted twice.
	m.mu.Lock()
	for slug, s := range *m.functions.Load() {
		all[slug] = Usage{CPU: s.ended}
	}
	m.mu.Unlock()
	for _, u := range m.sources.Usage() {
		slug := u.Slug
		u.Slug = ""
		if u == (Usage{}) {
			continue
		}
		if !m.sources.Known(slug) {
			slug = ""
		}
		sum := all[slug]
		sum.Starting += u.Starting
		sum.Serving += u.Serving
		sum.Retiring += u.Retiring
		sum.InFlight += u.InFlight
		sum.Queued += u.Queued
		sum.CPU += u.CPU
		sum.Memory += u.Memory
		all[slug] = sum
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for slug, s := range *m.functions.Load() {
		if u, ok := all[slug]; ok {
			// A counter that falls would look like one that began anew.
			s.shown = max(s.shown, u.CPU)
			u.CPU = s.shown
			all[slug] = u
		}
	}
	return all
}
