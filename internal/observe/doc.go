// Package observe writes the server's log, which has three kinds of lines:
// messages of the server itself, one line for each request, and what functions
// say and go through.
//
// Messages are plain slog calls on the logger that [New] returns. The other
// lines are a [Request], a [Line] or an [Event], whose Log methods also work
// with a logger of any other slog handler: that one gets the same keys as
// attributes.
//
// # JSON
//
// One line an event, written with one call of Write. Control characters and
// line ends are escaped, invalid UTF-8 is replaced by U+FFFD. Keys whose value
// is unknown or empty are left out, except those marked *, which every line of
// the event has. All are at the top level and keep their type, so that metric
// filters such as
//
//	{ $.event = "request" && $.status >= 500 }
//	{ $.event = "shutdown" && $.reason = "memory" }
//
// work. Durations are in milliseconds, rounded to 0.1.
//
// Every line:
//
//	time*         RFC 3339 with milliseconds, UTC
//	level*        DEBUG, INFO, WARN or ERROR
//	event*        server, request, log, boot, boot_failure,
//	              uncaught_exception or shutdown
//	msg*          what happened, in words
//
// Every line but those of event server:
//
//	slug          the function
//	execution_id  UUID of the worker
//	request_id    the request's sb-request-id
//
// event request, at ERROR with a status of 500 and above, at WARN when the
// exchange failed otherwise, else at INFO:
//
//	method*       as the client sent it
//	path*         without the query
//	status*       of the answer, 0 when there was none
//	duration_ms*  from the request's head to the answer's last byte
//	queue_ms      part of it spent waiting for a worker
//	bytes*        of the answer's body
//	client_ip     address of the client
//	trace_id      of the client's traceparent (W3C Trace Context)
//	error_code    the answer's sb-error-code
//	error         why the exchange failed
//
// event log, whose msg is the function's text and whose level is the console's:
//
//	raw           true for output that did not come through the console
//	cut_bytes     bytes left off the end of msg
//
// event boot, at INFO:
//
//	boot_time_ms*  from the first need of a worker to one that is ready
//	queue_ms*      part of it spent waiting for a place
//	bundle_ms*     part of it spent bundling, or finding that unnecessary
//	spawn_ms*      part of it spent starting the process
//	load_ms*       part of it spent loading and evaluating the function
//	evaluate_ms*   part of load_ms spent in the function's own modules
//	bundle_cached* whether the bundle was there already
//
// events boot_failure and uncaught_exception, at ERROR, whose msg is the error's
// message:
//
//	reason         what kind of failure
//	detail         an excerpt of the source or a stack, several lines
//	exit_code      of the worker's process, 128 plus the signal for a killed one
//	cpu_time_used  processor time the worker used, in milliseconds
//	memory_used    the most resident memory it had, in bytes
//
// event shutdown, at WARN when a limit of processor time, memory or files was the
// reason, else at INFO:
//
//	reason*        wall_clock_time, cpu_time, memory, early_drop,
//	               termination_requested, tmp_size or code_changed
//	detail, exit_code*, cpu_time_used*, memory_used*  as above
//
// Messages of the server (event server) have their own attributes next to the
// keys above; a time.Duration among them is in milliseconds too, and errors
// are strings. They should not use the keys time, level, event and msg.
//
// # Pretty
//
// For people who develop: times are local, ids and the attributes of derived
// loggers are left out of what is not a message of the server, output of a
// function stands behind its slug. What a terminal would act on is made
// visible instead, except for colours, so that neither a function nor a client
// can move the cursor, set the title or rewrite what was said before. Lines
// are never cut.
package observe
