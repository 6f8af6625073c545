package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// fakeLog is a log group: pages of two events, and an empty one before each.
type fakeLog struct {
	events []types.FilteredLogEvent
	asked  []cloudwatchlogs.FilterLogEventsInput
	// before is called at each first page of a look.
	before func(look int)
	looks  int
	err    error
}

func (f *fakeLog) add(at time.Time, id string) {
	f.events = append(f.events, types.FilteredLogEvent{EventId: &id, Timestamp: aws.Int64(at.UnixMilli()), Message: aws.String(id + "\n")})
}

func (f *fakeLog) FilterLogEvents(_ context.Context, in *cloudwatchlogs.FilterLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	f.asked = append(f.asked, *in)
	if in.NextToken == nil {
		f.looks++
		if f.before != nil {
			f.before(f.looks)
		}
		if f.err != nil {
			return nil, f.err
		}
	}
	var page int
	fmt.Sscan(aws.ToString(in.NextToken), &page)
	out := &cloudwatchlogs.FilterLogEventsOutput{}
	var found []types.FilteredLogEvent
	for _, e := range f.events {
		if *e.Timestamp >= *in.StartTime {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b types.FilteredLogEvent) int { return int(*a.Timestamp - *b.Timestamp) })
	if page%2 == 1 { // even pages are empty
		out.Events = found[page/2*2 : min(len(found), page/2*2+2)]
	}
	if page/2*2 < len(found) {
		out.NextToken = aws.String(fmt.Sprint(page + 1))
	}
	return out, nil
}

func readLog(t *testing.T, ctx context.Context, f *fakeLog, q LogQuery) (string, error) {
	t.Helper()
	var lines []string
	q.Every = time.Millisecond
	l := &logLook{api: f, group: "g", q: q, seen: map[string]time.Time{}, print: func(line []byte) error {
		lines = append(lines, string(line))
		return nil
	}}
	err := l.run(ctx)
	return strings.Join(lines, " "), err
}

func TestReadLog(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := &fakeLog{}
	for i, id := range []string{"old", "a", "b", "c", "d", "e"} {
		f.add(start.Add(time.Duration(i-1)*time.Second), id)
	}
	if got, err := readLog(t, t.Context(), f, LogQuery{Since: start}); got != "a b c d e" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := readLog(t, t.Context(), f, LogQuery{Since: start, Last: 2}); got != "d e" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if in := f.asked[0]; *in.LogGroupName != "g" || *in.LogStreamNamePrefix != logStreams || in.FilterPattern != nil {
		t.Errorf("asked %+v", in)
	}
	f.err = errors.New("broken")
	if _, err := readLog(t, t.Context(), f, LogQuery{Since: start}); err != f.err {
		t.Errorf("%v", err)
	}
	broken := errors.New("the reader has gone")
	f.err = nil
	l := &logLook{api: f, q: LogQuery{Since: start}, seen: map[string]time.Time{}, print: func([]byte) error { return broken }}
	if err := l.run(t.Context()); err != broken {
		t.Errorf("%v", err)
	}
}

// TestFollowLog checks that each line comes once, those that are late among
// them, and that what was seen is forgotten.
func TestFollowLog(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := &fakeLog{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.add(start, "a")
	f.before = func(look int) {
		switch look {
		case 2:
			f.add(start.Add(20*time.Second), "c")
		case 3:
			f.add(start.Add(10*time.Second), "b") // late
		case 4:
			f.add(start.Add(90*time.Second), "d")
		case 6:
			f.add(start.Add(time.Second), "too-late")
			f.add(start.Add(90*time.Second), "e") // in the same moment as d
		case 8:
			cancel()
		}
	}
	got, err := readLog(t, ctx, f, LogQuery{Since: start, Last: 5, Follow: true})
	if got != "a c b d e" || !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v", got, err)
	}
	if from := time.UnixMilli(*f.asked[len(f.asked)-1].StartTime).UTC(); from != start.Add(60*time.Second) {
		t.Errorf("the last look was from %s on", from)
	}
}

func TestLogPattern(t *testing.T) {
	for want, q := range map[string]LogQuery{
		"":                       {},
		`{ ($.slug = "hello") }`: {Functions: []string{"hello"}},
		`{ (($.slug = "a") || ($.slug = "b")) && (($.level = "WARN") || ($.level = "ERROR")) && ($.request_id = "1-2") }`: {
			Functions: []string{"a", "b"}, Levels: []string{"WARN", "ERROR"}, RequestID: "1-2"},
	} {
		if got := q.pattern(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestLogStreams checks that the template has the streams that are read.
func TestLogStreams(t *testing.T) {
	if !strings.Contains(string(stack.Service().YAML()), "awslogs-stream-prefix: "+strings.TrimSuffix(logStreams, "/")+"\n") {
		t.Errorf("no container of the template logs to streams below %s", logStreams)
	}
}
