package contract

func bodies() []Row {
	streams := sdk + "streams/"
	return []Row{
		{Says: "Answers stream.", Tests: []string{streams + "chunks_of_an_answer_come_one_by_one", chromium + "supabase-js/streams/chunks_of_an_answer_come_one_by_one"}},
		{Says: "Uploads stream.", Tests: []string{node + "node-http/an_upload_reaches_the_function_part_by_part", chromium + "fetch/an_upload_reaches_the_function_part_by_part,_over_HTTP_2"}},
		{Says: "Both go on at once.", Tests: []string{node + "node-http/answers_to_parts_while_the_upload_goes_on", "internal/upstream.TestBothWaysAtOnce"}},
		{Says: "Server-sent events are flushed at once.",
			Tests: []string{streams + "events_come_one_by_one", chromium + "supabase-js/streams/events_come_one_by_one", chromium + "fetch/EventSource", "e2e.TestExampleSSEIsFlushedAtOnce"}},
		{Says: "WebSockets by `Deno.upgradeWebSocket`: text, binary, pings, protocols, close codes.",
			Tests: []string{node + "ws/text,_binary_and_a_megabyte_are_echoed", node + "ws/ping_is_answered", node + "ws/sub-protocol", node + "ws/the_function's_close_code_and_reason", node + "ws/the_client's_close_code_is_answered"}},
		{Says: "WebSockets by `npm:ws`.", Tests: []string{node + "ws/a_server_of_npm:ws"}},
		{Says: "The token is checked before the upgrade.", Tests: []string{node + "ws/no_key_is_401_before_the_upgrade", node + "ws/a_bad_token_is_401_before_the_upgrade", "internal/gateway.TestAuthenticateBeforeUpgrade"}},
		{Says: "Pages, which can send no header with a WebSocket, pass a token in the query or as a protocol to a function with `verify_jwt = false`.",
			Tests: []string{chromium + "WebSocket/token_in_the_query", chromium + "WebSocket/token_among_the_protocols", chromium + "WebSocket/no_token", chromium + "WebSocket/a_function_that_wants_a_header"}},
		{Says: "An upgrade that the function does not take is 502.", Tests: []string{node + "ws/an_upgrade_that_the_function_does_not_take_is_502", "internal/gateway.TestUpgradeNotTaken"}},
		{Says: "Trailers are dropped.", Tests: []string{node + "node-http/trailers_are_dropped_both_ways"}},
		{Says: "`Expect: 100-continue`: the body is asked for when it is wanted.", Tests: []string{curl + "bodies/Expect_100-continue", curl + "unauthorized/nothing_is_uploaded", "internal/upstream.TestExpectContinue"}},
		{Says: "An answer may come before the upload was read.",
			Tests: []string{curl + "bodies/an_early_answer_to_a_large_upload", streams + "an_early_answer_to_an_upload", chromium + "supabase-js/streams/an_early_answer_to_an_upload", curl + "HTTP2/prior_knowledge"}},
		{Says: "`Set-Cookie` lines stay apart.", Tests: []string{curl + "cookies_stay_lines_of_their_own", sdk + "answers/several_cookies", node + "http2/several_cookies_both_ways"}},
		{Says: "HEAD has no body.", Tests: []string{curl + "HEAD_has_the_header_and_no_body"}},
		{Says: "204 and 304 have no body.", Tests: []string{curl + "204_and_304_have_no_body", sdk + "answers/204"}},
		{Says: "gzip passes untouched.", Tests: []string{curl + "gzip_passes_untouched", sdk + "answers/gzip_of_the_function's_own"}},
		{Says: "A client that goes away aborts `req.signal`.",
			Tests: []string{sdk + "requests/AbortSignal_aborts_the_function's_req.signal", chromium + "supabase-js/requests/AbortSignal_aborts_the_function's_req.signal", node + "http2/a_reset_stream_aborts_the_function's_req.signal", "e2e.TestClientGoneAbortsTheSignal"}},
		{Says: "An answer that is cut never looks whole.",
			Tests: []string{curl + "an_answer_that_was_cut_does_not_look_whole", sdk + "errors/worker_gone_in_mid-answer", curl + "HTTP2/prior_knowledge", "internal/gateway.TestHTTP2CutAnswer"}},
	}
}

func clients() []Row {
	body, answer := sdk+"bodies/", sdk+"answers/"
	older := func(suite string) []string {
		return []string{node + "supabase-js_2.57/" + suite, node + "supabase-js_2.39/" + suite}
	}
	return []Row{
		{Says: "`functions.invoke` is a POST to `/functions/v1/NAME`.", Tests: []string{sdk + "requests/method_POST", node + "functions-js/invoke"}},
		{Says: "`region` arrives as `x-region` and as `forceFunctionRegion`.", Tests: []string{sdk + "requests/region", chromium + "supabase-js/requests/region"}},
		{Says: "Body: an object or a list is JSON.", Tests: []string{body + "JSON_object", body + "JSON_array"}},
		{Says: "Body: a string is text.", Tests: []string{body + "string", body + "string_with_a_content_type_of_its_own"}},
		{Says: "Body: Blob, File and ArrayBuffer arrive byte for byte.", Tests: []string{body + "Blob", body + "File", body + "ArrayBuffer", body + "ten_megabytes"}},
		{Says: "Body: FormData with files; URLSearchParams as a form.", Tests: []string{body + "FormData", body + "URLSearchParams"}},
		{Says: "Body: none.", Tests: []string{body + "none"}},
		{Says: "Answer: JSON, text, and what has another type as text.", Tests: []string{answer + "JSON", answer + "JSON_with_a_charset", answer + "text", answer + "HTML_is_text", answer + "empty"}},
		{Says: "Answer: octets and PDF are a Blob.", Tests: []string{answer + "octet-stream_is_a_Blob", answer + "PDF_is_a_Blob"}},
		{Says: "Answer: multipart is FormData.", Tests: []string{answer + "multipart_is_FormData"}},
		{Says: "Answer: an event stream is the Response itself.", Tests: []string{answer + "event-stream_is_the_raw_Response"}},
		{Says: "`FunctionsHttpError` for what is not 2xx, with a body that can be read.", Tests: []string{sdk + "errors/a_function's_own_4xx", node + "functions-js/error_classes"}},
		{Says: "`FunctionsRelayError` for `x-relay-error: true`, in pages too.",
			Tests: []string{sdk + "errors/worker_gone_before_an_answer", chromium + "supabase-js/errors/worker_gone_before_an_answer", node + "functions-js/error_classes"}},
		{Says: "`FunctionsFetchError` where nobody answers.", Tests: []string{sdk + "errors/nobody_listens", chromium + "supabase-js/errors/nobody_listens"}},
		{Says: "Headers of the caller's own, `signal` and `timeout`.",
			Tests: []string{sdk + "requests/headers_of_the_caller's_own", sdk + "requests/AbortSignal_aborts_the_function's_req.signal", sdk + "requests/timeout_aborts_the_function's_req.signal"}},
		{Says: "All of it in Chromium, from a page of another origin.",
			Tests: []string{chromium + "fetch/the_page_is_of_another_origin", chromium + "supabase-js/bodies", chromium + "supabase-js/answers", chromium + "supabase-js/errors", chromium + "supabase-js/requests", chromium + "supabase-js/streams"}},
		{Says: "Older clients, as far as they can do it.", Tests: append(append(append(older("bodies"), older("answers")...), older("errors")...), older("requests")...)},
	}
}

// beyond is what nobody's contract asks for, but servers of today are asked for.
func beyond() []Row {
	return []Row{
		{Says: "HTTP/2 without TLS, by prior knowledge.", Tests: []string{curl + "HTTP2/prior_knowledge", node + "http2/a_hundred_streams_of_one_connection", node + "http2/scheme_and_authority", "internal/gateway.TestHTTP2WithoutTLS"}},
		{Says: "HTTPS, with HTTP/2 where the client wants it.", Tests: []string{curl + "HTTP2/ALPN", curl + "HTTP2/HTTP1_over_TLS", node + "TLS/http2", chromium + "TLS/supabase-js/bodies", curl + "HTTP2/old_TLS_is_refused"}},
		{Says: "WebSockets over TLS.", Tests: []string{node + "TLS/ws", chromium + "TLS/WebSocket"}},
		{Says: "A certificate is read again when its files change.", Tests: []string{"internal/gateway.TestCertificateIsReloaded"}},
		{Says: "A connection of HTTP/2 is told to end before it does.", Tests: []string{"internal/gateway.TestHTTP2ShutdownIsGraceful"}},
		{Says: "Requests that two servers could read in two ways are refused.", Tests: []string{"internal/gateway.TestSmugglingByFraming", "internal/gateway.TestSmugglingByChunks", "internal/http1.TestRefusals"}},
		{Says: "Headers of a connection stay with it.", Tests: []string{curl + "routes/headers_of_a_connection_are_dropped", "internal/gateway.TestHopByHopOfRequests", "internal/gateway.TestHopByHopOfAnswers", node + "http2/no_header_that_belongs_to_a_connection"}},
		{Says: "Slow clients hold nothing for long.", Tests: []string{"internal/gateway.TestSlowHead", "internal/gateway.TestSlowBody", "internal/gateway.TestSlowReader"}},
		{Says: "A request that no worker can have seen is given to another one, once.", Tests: []string{"internal/gateway.TestRetryOnAnotherWorker", "internal/gateway.TestRetryOnlyOnce", "internal/gateway.TestNoRetryAfterDelivery"}},
		{Says: "A function that is busy leaves room for the others.", Tests: []string{"internal/gateway.TestAdmitKeepsRoomForOthers", "internal/pool.TestQueueKeepsTheOrder"}},
		{Says: "W3C trace context is passed on.", Tests: []string{curl + "routes/trace_context_is_passed_on", "e2e.TestTraceContext"}},
		{Says: "Metrics for Prometheus.", Tests: []string{"e2e.TestMetrics", "internal/metrics.TestLint"}},
		{Says: "An edit is served without a restart, also behind a symbolic link and in `_shared`.", Tests: []string{"e2e.TestDevReloadsOnSave"}},
		{Says: "Memory is the system's again when a worker goes, and idle functions have none.", Tests: []string{"e2e.TestScalesToZeroWhenIdle", "internal/pool.TestBackToZero"}},
		{Says: "Functions are deployed while the server runs, through an API.", Missing: "they are files; a restart, or `selvedge dev`, takes new ones"},
	}
}
