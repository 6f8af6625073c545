package tracing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// maxWaiting bounds the spans in memory; those that find no room are lost,
	// and counted.
	maxWaiting = 2048
	// maxBatch and batchEvery are when those that wait are sent.
	maxBatch   = 512
	batchEvery = 2 * time.Second
	// postPatience bounds one post, and so what the end of the server waits.
	postPatience = 5 * time.Second
	// sayEvery is how often at most the log says that spans are lost.
	sayEvery = time.Minute
)

// An exporter sends spans from a goroutine of its own.
type exporter struct {
	settings Settings
	version  string
	log      *slog.Logger
	client   *http.Client
	waiting  chan *span
	end      chan struct{}
	ended    chan struct{}
	closing  atomic.Bool
	lost     atomic.Int64

	said time.Time
}

func newExporter(s Settings, version string, log *slog.Logger) *exporter {
	x := &exporter{
		settings: s, version: version, log: log,
		client:  &http.Client{Timeout: postPatience, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1}},
		waiting: make(chan *span, maxWaiting), end: make(chan struct{}), ended: make(chan struct{}),
	}
	go x.run()
	return x
}

// add takes a span. It never waits.
func (x *exporter) add(s *span) {
	if x.closing.Load() {
		x.lost.Add(1)
		return
	}
	select {
	case x.waiting <- s:
	default:
		x.lost.Add(1)
	}
}

func (x *exporter) close() {
	if !x.closing.Swap(true) {
		close(x.end)
	}
	<-x.ended
	x.client.CloseIdleConnections()
}

func (x *exporter) run() {
	defer close(x.ended)
	ticker := time.NewTicker(batchEvery)
	defer ticker.Stop()
	var batch []*span
	post := func() {
		if len(batch) > 0 {
			x.post(batch)
		}
		batch = batch[:0]
		x.sayLost("")
	}
	for {
		select {
		case s := <-x.waiting:
			if batch = append(batch, s); len(batch) >= maxBatch {
				post()
			}
		case <-ticker.C:
			post()
		case <-x.end:
			until := time.Now().Add(postPatience)
			for len(x.waiting) > 0 && time.Now().Before(until) {
				if batch = append(batch, <-x.waiting); len(batch) >= maxBatch {
					post()
				}
			}
			post()
			return
		}
	}
}

// post sends a batch. One that is refused is lost: the collector is there to
// keep spans, the gateway is not.
func (x *exporter) post(batch []*span) {
	body, err := json.Marshal(x.request(batch))
	if err == nil {
		err = x.send(body)
	}
	if err != nil {
		x.lost.Add(int64(len(batch)))
		x.sayLost(err.Error())
	}
}

func (x *exporter) send(body []byte) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, x.settings.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range x.settings.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := x.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 512))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answered %s: %s", res.Status, bytes.TrimSpace(said))
	}
	return nil
}

// sayLost has the log say how many spans are lost, now and then.
func (x *exporter) sayLost(why string) {
	if x.lost.Load() == 0 || time.Since(x.said) < sayEvery {
		return
	}
	x.said = time.Now()
	if why == "" {
		why = "they came faster than they could be sent"
	}
	x.log.Warn("spans are lost; see that the collector of OTEL_EXPORTER_OTLP_ENDPOINT runs and takes OTLP over HTTP", "lost", x.lost.Swap(0), "endpoint", x.settings.Endpoint, "err", why)
}
