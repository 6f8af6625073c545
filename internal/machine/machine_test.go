package machine

import (
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func files(have map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if s, ok := have[path]; ok {
			return []byte(s), nil
		}
		return nil, fs.ErrNotExist
	}
}

const meminfo = "MemTotal:       24000000 kB\nMemFree:  1 kB\n"

func TestMemory(t *testing.T) {
	for name, c := range map[string]struct {
		files  map[string]string
		want   int64
		source string
	}{
		"machine":              {map[string]string{"/proc/meminfo": meminfo}, 24000000 << 10, SourceMachine},
		"cgroup v2":            {map[string]string{"/proc/meminfo": meminfo, "/sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20, SourceCgroup},
		"cgroup v2, no limit":  {map[string]string{"/proc/meminfo": meminfo, "/sys/fs/cgroup/memory.max": "max\n"}, 24000000 << 10, SourceMachine},
		"cgroup v1":            {map[string]string{"/proc/meminfo": meminfo, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, 1 << 30, SourceCgroup},
		"cgroup v1, no limit":  {map[string]string{"/proc/meminfo": meminfo, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 24000000 << 10, SourceMachine},
		"nothing can be read":  {nil, 0, SourceMachine},
		"nonsense in the file": {map[string]string{"/proc/meminfo": "MemTotal: much\n"}, 0, SourceMachine},
		"a group of its own": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/system.slice/selvedge.service\n",
			"/sys/fs/cgroup/system.slice/selvedge.service/memory.max": "1073741824\n"}, 1 << 30, SourceCgroup},
		"the group around it is smaller": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/pod/app\n",
			"/sys/fs/cgroup/pod/memory.max": "268435456\n", "/sys/fs/cgroup/pod/app/memory.max": "max\n"}, 256 << 20, SourceCgroup},
		"a group of its own, v1": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "12:cpu,cpuacct:/x\n4:memory:/docker/abc\n",
			"/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "268435456\n"}, 256 << 20, SourceCgroup},
		"a group that points upwards": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/../../other\nbroken\n"}, 24000000 << 10, SourceMachine},
	} {
		if got := find(context.Background(), files(c.files), ""); got.Memory != c.want || got.MemorySource != c.source || got.Err != nil {
			t.Errorf("%s: %+v, want %d of %s", name, got, c.want, c.source)
		}
	}
}

// TestTask asks a server in the place of the agent.
func TestTask(t *testing.T) {
	for name, c := range map[string]struct {
		container, task string
		want            Limit
		err             string
	}{
		"the task's":         {`{"Limits":{"CPU":2}}`, `{"Limits":{"CPU":0.25,"Memory":512}}`, Limit{512 << 20, SourceTask, 0.25, nil}, ""},
		"the container's":    {`{"Limits":{"CPU":2,"Memory":256}}`, `{"Limits":{"CPU":1,"Memory":2048}}`, Limit{256 << 20, SourceTask, 1, nil}, ""},
		"no limits, on EC2":  {`{"Limits":{"CPU":0,"Memory":0}}`, `{"Family":"x"}`, Limit{24000000 << 10, SourceMachine, 0, nil}, ""},
		"more than there is": {`{}`, `{"Limits":{"CPU":4,"Memory":1000000}}`, Limit{24000000 << 10, SourceMachine, 4, nil}, ""},
		"no JSON":            {`{}`, `<html>`, Limit{24000000 << 10, SourceMachine, 0, nil}, "read the answer"},
		"half an answer":     {`{"Limits":{"Memory":256}}`, ``, Limit{256 << 20, SourceTask, 0, nil}, "answered 404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // is not asked
			asked := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				body := map[string]string{"/v4/id": c.container, "/v4/id/task": c.task}[r.URL.Path]
				if body == "" {
					http.NotFound(w, r)
				} else if asked == 1 {
					http.Error(w, "not yet", http.StatusServiceUnavailable)
				} else {
					_, _ = w.Write([]byte(body))
				}
			}))
			defer s.Close()
			got := find(t.Context(), files(map[string]string{"/proc/meminfo": meminfo, "/sys/fs/cgroup/memory.max": "max"}), s.URL+"/v4/id")
			err := got.Err
			if got.Err = nil; got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v, %v; want %+v and %q", got, err, c.want, c.err)
			}
		})
	}
}

func TestNoAgent(t *testing.T) {
	got := find(t.Context(), files(map[string]string{"/proc/meminfo": meminfo}), "http://127.0.0.1:1/v4/id")
	if got.Memory != 24000000<<10 || got.Err == nil || !strings.Contains(got.Err.Error(), "--max-memory") {
		t.Errorf("%+v", got)
	}
}
