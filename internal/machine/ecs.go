package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// MetadataVariable names the variable with the address at which the agent of
// ECS tells a container about itself and its task.
const MetadataVariable = "ECS_CONTAINER_METADATA_URI_V4"

const (
	// metadataPatience bounds each question: the agent is on the same machine.
	metadataPatience = time.Second
	metadataTries    = 3
	metadataPause    = 200 * time.Millisecond
	maxMetadata      = 1 << 20
)

// task asks what the task and this container of it may use. On Fargate no file
// tells: the control group of the task is outside of the container. Memory is 0
// and cpus is 0 where there is no limit.
//
// The answers are described at
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html
func task(ctx context.Context, address string) (memory int64, cpus float64, err error) {
	type limits struct {
		// Memory is in MiB. CPU is in processors for a task, and in shares for
		// a container, which bound nothing.
		CPU, Memory float64
	}
	address = strings.TrimRight(address, "/")
	var container, whole struct{ Limits limits }
	err = errors.Join(ask(ctx, address, &container), ask(ctx, address+"/task", &whole))
	for _, mb := range []float64{container.Limits.Memory, whole.Limits.Memory} {
		if n := int64(mb) << 20; n > 0 && (memory == 0 || n < memory) {
			memory = n
		}
	}
	if err != nil {
		err = fmt.Errorf("ask ECS for the limits of the task: %w; the machine's are taken where it did not tell, so set --max-memory", err)
	}
	return memory, max(0, whole.Limits.CPU), err
}

// ask gets one answer. The agent may take a moment after the task began.
func ask(ctx context.Context, url string, into any) (err error) {
	for try := range metadataTries {
		if try > 0 {
			time.Sleep(metadataPause)
		}
		if err = askOnce(ctx, url, into); err == nil {
			return nil
		}
	}
	return err
}

func askOnce(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// No proxy: the address means this machine.
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxMetadata)).Decode(into); err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	return nil
}
