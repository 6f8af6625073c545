package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// logReader is what reading a log takes.
type logReader interface {
	FilterLogEvents(context.Context, *cloudwatchlogs.FilterLogEventsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error)
}

// A LogQuery says which lines of a deployment's log are wanted.
type LogQuery struct {
	// Functions are those whose lines are wanted, none for all lines.
	Functions []string
	// Levels are those wanted, as the log writes them; none for all.
	Levels []string
	// RequestID is the request whose lines are wanted, "" for all.
	RequestID string
	// Since is when the first line was written.
	Since time.Time
	// Last bounds the lines to begin with, the newest of them; 0 for no bound.
	Last int
	// Follow goes on with lines to come until the context ends.
	Follow bool
	// Every is the time between two looks, 0 for logInterval.
	Every time.Duration
}

const (
	// logInterval keeps far below the five calls a second that an account has
	// for all who read its logs.
	logInterval = 2 * time.Second
	// logOverlap is how late a line may come: the containers send theirs every
	// five seconds, and CloudWatch takes a while to find them.
	logOverlap = 30 * time.Second
)

// ReadLog hands lines of a deployment's log to print, in the order in which
// CloudWatch finds them, each once. It returns when there are no more, and when
// following with the context.
func (c *Clients) ReadLog(ctx context.Context, t Target, q LogQuery, print func(line []byte) error) error {
	r := &logLook{api: c.Logs, group: t.LogGroup(), q: q, print: print, seen: map[string]time.Time{}}
	err := r.run(ctx)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case isAbsent(err):
		return &Problem{What: fmt.Sprintf("there is no log group %s in %s", t.LogGroup(), c.Region), Err: err,
			Next: []string{"deploy first: selvedge deploy", "look elsewhere: --env, --project, --region, --profile"}}
	}
	return c.Explain("read the log group "+t.LogGroup(), err)
}

// A logLook is one reading of a log.
type logLook struct {
	api   logReader
	group string
	q     LogQuery
	print func(line []byte) error
	// seen are the events that were printed and may be found again, newest the
	// time of the last of all.
	seen   map[string]time.Time
	newest time.Time
	// held are the last lines of the first look, where it is bounded.
	held [][]byte
}

func (l *logLook) run(ctx context.Context) error {
	from := l.q.Since
	every := l.q.Every
	if every <= 0 {
		every = logInterval
	}
	emit := l.print
	if l.q.Last > 0 {
		emit = l.hold
	}
	for {
		if err := l.look(ctx, from, emit); err != nil {
			return err
		}
		for _, line := range l.held {
			if err := l.print(line); err != nil {
				return err
			}
		}
		l.held, emit = nil, l.print
		if !l.q.Follow {
			return nil
		}
		if late := l.newest.Add(-logOverlap); late.After(from) {
			from = late
		}
		for id, at := range l.seen {
			if at.Before(from) {
				delete(l.seen, id)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

// look reads everything from a time on and emits what is new.
func (l *logLook) look(ctx context.Context, from time.Time, emit func([]byte) error) error {
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &l.group, StartTime: aws.Int64(from.UnixMilli()), LogStreamNamePrefix: aws.String(logStreams)}
	if p := l.q.pattern(); p != "" {
		in.FilterPattern = &p
	}
	for {
		out, err := l.api.FilterLogEvents(ctx, in)
		if err != nil {
			return err
		}
		for _, e := range out.Events {
			if err := l.event(e, emit); err != nil {
				return err
			}
		}
		// Pages may be empty although there are further ones.
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return nil
		}
	}
}

func (l *logLook) event(e types.FilteredLogEvent, emit func([]byte) error) error {
	id := aws.ToString(e.EventId)
	if _, ok := l.seen[id]; ok {
		return nil
	}
	at := time.UnixMilli(aws.ToInt64(e.Timestamp))
	if id != "" && l.q.Follow {
		l.seen[id] = at
	}
	if at.After(l.newest) {
		l.newest = at
	}
	return emit([]byte(strings.TrimRight(aws.ToString(e.Message), "\r\n")))
}

// hold keeps a line, and no more lines than are wanted.
func (l *logLook) hold(line []byte) error {
	if len(l.held) == l.q.Last {
		l.held = slices.Delete(l.held, 0, 1)
	}
	l.held = append(l.held, line)
	return nil
}

// logStreams begins the names of the streams of the server's containers.
const logStreams = "edge/"

// pattern is the query in CloudWatch's language, "" for everything.
func (q LogQuery) pattern() string {
	var all []string
	add := func(key string, values ...string) {
		var terms []string
		for _, v := range values {
			terms = append(terms, fmt.Sprintf("($.%s = %q)", key, v))
		}
		switch len(terms) {
		case 0:
		case 1:
			all = append(all, terms[0])
		default:
			all = append(all, "("+strings.Join(terms, " || ")+")")
		}
	}
	add("slug", q.Functions...)
	add("level", q.Levels...)
	if q.RequestID != "" {
		add("request_id", q.RequestID)
	}
	if len(all) == 0 {
		return ""
	}
	return "{ " + strings.Join(all, " && ") + " }"
}
