package deno

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Load tells a started process which function to be.
type Load struct {
	// Specifier is the file URL of the module.
	Specifier string `json:"specifier"`
	// Env is the function's whole environment.
	Env map[string]string `json:"env"`
	// Secret marks the worker's log frames; see Frames.
	Secret string `json:"secret"`
	// Node says that the function may serve by node:http.
	Node bool `json:"node,omitempty"`
}

// MarshalLine returns the control line, with its newline.
func (l Load) MarshalLine() ([]byte, error) {
	type plain Load
	if l.Env == nil {
		l.Env = map[string]string{} // the bootstrap reads an object, not null
	}
	b, err := json.Marshal(struct {
		C string `json:"c"`
		plain
	}{"load", plain(l)})
	return append(b, '\n'), err
}

// WarmLine is the control line that has an idle worker load what most functions
// use and a process that is needed at once should not wait for.
func WarmLine() []byte { return []byte(`{"c":"warm"}` + "\n") }

// PingLine is the control line that a worker whose event loop turns answers
// with a sign of life; see Frames.OnAlive.
func PingLine() []byte { return []byte(`{"c":"ping"}` + "\n") }

// CollectLine is the control line that has the worker collect its garbage.
func CollectLine() []byte { return []byte(`{"c":"gc"}` + "\n") }

// UnloadLine returns the control line that has the worker dispatch its
// beforeunload event with reason.
func UnloadLine(reason string) []byte {
	b, err := json.Marshal(map[string]string{"c": "unload", "reason": reason})
	if err != nil { // a map of strings always marshals
		panic(err)
	}
	return append(b, '\n')
}

// Mode says how a function serves.
type Mode string

// The modes a worker reports.
const (
	// ModeServe is served by the bootstrap on ServeSocket. It takes its
	// request URLs from absolute-form request lines.
	ModeServe Mode = "serve"
	// ModeNode is a node:http server on NodeSocket.
	ModeNode Mode = "node"
)

// An Event is one control line from a worker. Exactly one field is set.
type Event struct {
	Up       bool
	Ready    *Ready
	Failed   *Failed
	Waiting  *bool // whether promises given to waitUntil are pending
	Unloaded bool
}

// Ready reports that the function serves.
type Ready struct {
	Mode Mode
	// Evaluate is the time from the load line to serving, inside the worker.
	Evaluate time.Duration
}

// Failed reports that the function's module did not load.
type Failed struct {
	Stage   string `json:"stage"`
	Message string `json:"message"`
	Detail  string `json:"detail"`
}

// maxEvaluate is more milliseconds than any load may take.
const maxEvaluate = 1e9

// ParseEvent parses one control line, without its newline.
func ParseEvent(line string) (Event, error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "up":
		if line != word {
			break
		}
		return Event{Up: true}, nil
	case "unloaded":
		if line != word {
			break
		}
		return Event{Unloaded: true}, nil
	case "wait":
		if rest != "0" && rest != "1" {
			return Event{}, fmt.Errorf("parse control line %.80q: neither 0 nor 1", line)
		}
		waiting := rest == "1"
		return Event{Waiting: &waiting}, nil
	case "ready":
		mode, ms, _ := strings.Cut(rest, " ")
		f, err := strconv.ParseFloat(ms, 64)
		if err != nil || !(f >= 0 && f < maxEvaluate) || (Mode(mode) != ModeServe && Mode(mode) != ModeNode) {
			return Event{}, fmt.Errorf("parse control line %.80q: not a mode and milliseconds", line)
		}
		return Event{Ready: &Ready{Mode: Mode(mode), Evaluate: time.Duration(f * float64(time.Millisecond))}}, nil
	case "failed":
		var f Failed
		if err := json.Unmarshal([]byte(rest), &f); err != nil {
			return Event{}, fmt.Errorf("parse control line %.80q: %w", line, err)
		}
		if f.Stage == "" {
			return Event{}, fmt.Errorf("parse control line %.80q: no stage", line)
		}
		return Event{Failed: &f}, nil
	}
	return Event{}, fmt.Errorf("parse control line %.80q: unknown event", line)
}
