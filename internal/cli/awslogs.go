package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/admin"
	"github.com/selvedge-dev/selvedge/internal/deploy"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/observe"
)

// logLevels are those of the log, ascending.
var logLevels = []string{"DEBUG", "INFO", "WARN", "ERROR"}

// followAWS prints the log of a deployment.
func followAWS(cmd *cobra.Command, s Streams, target *awsFlags, asked admin.LogQuery, asJSON bool) error {
	q, err := awsQuery(asked, time.Now())
	if err != nil {
		return usage(err)
	}
	if cmd.Flags().Changed("server") {
		return usage(errors.New("--server is for servers on this machine; leave out --aws or --server"))
	}
	ctx, stop, settings, clients, err := target.connect(cmd, s)
	if err != nil {
		return err
	}
	defer stop()
	q.Every = settings.Poll
	show := observe.NewPrinter(s.Out, colored(s.Out)).Print
	if asJSON {
		show = func(line []byte) error {
			_, err := s.Out.Write(append(asObject(line), '\n'))
			return err
		}
	}
	err = clients.ReadLog(ctx, settings.Names, q, show)
	if ctx.Err() != nil {
		return nil // an interrupt is how following ends
	}
	return err
}

var requestID = regexp.MustCompile(`\A[A-Za-z0-9-]{1,64}\z`)

// awsQuery makes a query of the flags, which CloudWatch's language must not
// take for more than they are.
func awsQuery(asked admin.LogQuery, now time.Time) (deploy.LogQuery, error) {
	q := deploy.LogQuery{Functions: asked.Functions, RequestID: asked.RequestID, Last: asked.Last, Follow: asked.Follow, Since: now.Add(-time.Hour)}
	if q.Follow {
		q.Since = now.Add(-10 * time.Minute)
	}
	for _, name := range q.Functions {
		if !function.ValidSlug(name) {
			return q, fmt.Errorf("no function can be called %q", name)
		}
	}
	if q.RequestID != "" && !requestID.MatchString(q.RequestID) {
		return q, fmt.Errorf("--request %q: use an answer's sb-request-id", q.RequestID)
	}
	if asked.Level != "" {
		level := strings.ToUpper(asked.Level)
		if level == "WARNING" {
			level = "WARN"
		}
		i := slices.Index(logLevels, level)
		if i < 0 {
			return q, fmt.Errorf("--level %q: use debug, info, warn or error", asked.Level)
		}
		if i > 0 {
			q.Levels = logLevels[i:]
		}
	}
	if asked.Since != "" {
		since, err := pastTime(asked.Since, now)
		if err != nil {
			return q, fmt.Errorf("--since %w", err)
		}
		q.Since = since
	}
	return q, nil
}

// pastTime reads a time that is given by how long ago it was, or in RFC 3339.
func pastTime(text string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 36500 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q: use a duration such as 30s, 5m, 2h or 3d, or a time such as 2026-01-31T12:00:00Z", text)
}

// asObject returns a line of the log, which should be a JSON object, as one.
// What a server says before it has a log, or at a crash, is none.
func asObject(line []byte) []byte {
	if line = bytes.TrimSpace(line); len(line) > 0 && line[0] == '{' && json.Valid(line) {
		return line
	}
	object, _ := json.Marshal(map[string]any{"event": "server", "level": "INFO", "msg": string(line), "raw": true})
	return object
}
