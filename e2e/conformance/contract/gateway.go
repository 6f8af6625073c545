package contract

func routing() []Row {
	return []Row{
		{Says: "Functions are at `/functions/v1/NAME` and at `/NAME`.", Tests: []string{curl + "routes/with_prefix", curl + "routes/without_prefix"}},
		{Says: "A function sees `/NAME/…` in either case.", Tests: []string{curl + "routes/with_prefix", curl + "routes/rest_and_query"}},
		{Says: "Path and query reach it byte for byte: percent-encoding, `//` and `..`.",
			Tests: []string{curl + "routes/percent-encoding_is_kept", curl + "routes/double_slashes_are_kept", curl + "routes/dots_are_not_the_gateway's", sdk + "requests/path_and_query_below_the_function"}},
		{Says: "A request target in absolute form is understood.", Tests: []string{curl + "routes/absolute_form"}},
		{Says: "`req.url` has host and scheme of `X-Forwarded-Host` and `-Proto`, where a trusted proxy says so.",
			Tests: []string{curl + "routes/forwarding_headers_of_a_trusted_proxy", "internal/gateway.TestOutside"}},
		{Says: "Nobody else is believed: then they are those of the request itself.",
			Tests: []string{curl + "routes/forwarding_headers_of_nobody", "internal/gateway.TestForgedForwardingHeaders"}},
		{Says: "`GET /health` and `/_internal/health` are 200 `{\"message\":\"ok\"}`, and `/_internal/metric` is JSON, for everybody.",
			Tests: []string{curl + "health_and_counters_need_no_key"}},
		{Says: "No function is hidden by them: one that is called `health` is refused at the start.",
			Tests: []string{"internal/function.TestDiscoverKeepsProblemsApart"}},
		{Says: "GET, POST, PUT, PATCH, DELETE, OPTIONS and HEAD reach functions.",
			Tests: []string{sdk + "requests/method_GET", sdk + "requests/method_POST", sdk + "requests/method_PUT", sdk + "requests/method_PATCH", sdk + "requests/method_DELETE", curl + "OPTIONS_needs_no_key", curl + "HEAD_has_the_header_and_no_body"}},
		{Says: "Other methods are 405.", Tests: []string{curl + "other_methods_are_405"}},
	}
}

func authentication() []Row {
	return []Row{
		{Says: "`verify_jwt` is the function's own; `false` asks for no key.",
			Tests: []string{sdk + "requests/no_key_is_asked_for_with_verify_jwt_=_false", "internal/gateway.TestAuthenticatePerFunction"}},
		{Says: "`REQUIRE_AUTH=false` asks for none anywhere.", Tests: []string{"e2e.TestExamples"}},
		{Says: "OPTIONS is never checked.", Tests: []string{curl + "OPTIONS_needs_no_key", "internal/gateway.TestPreflightIsNotAuthenticated"}},
		{Says: "The check comes after routing: an unknown function is 404, not 401.", Tests: []string{refusals + "the_check_comes_after_routing"}},
		{Says: "A token comes in `Authorization: Bearer`, and in `apikey` where that is missing.",
			Tests: []string{"internal/auth.TestHeaders/bearer", "internal/auth.TestHeaders/apikey_alone", "internal/auth.TestHeaders/Authorization_wins", node + "ws/apikey_instead_of_a_token"}},
		{Says: "HS256 with `JWT_SECRET`: the anon key, the service_role key, users.",
			Tests: []string{sdk + "requests/anon_key", sdk + "requests/service_role_key", sdk + "requests/user's_HS256_token_beside_a_publishable_key", sdk + "requests/setAuth"}},
		{Says: "ES256 and RS256 by JWKS.",
			Tests: []string{sdk + "requests/user's_ES256_token_beside_a_publishable_key", "internal/auth.TestEveryAlgorithm/ES256", "internal/auth.TestEveryAlgorithm/RS256"}},
		{Says: "JWKS is `SUPABASE_JWKS`, else it is fetched from `SUPABASE_URL` and kept.",
			Tests: []string{"internal/auth.TestRemoteIsNotUsedWithInline", "internal/auth.TestRemoteFetchesOnceWhenNeeded", "internal/auth.TestRemoteOverTheNetwork"}},
		{Says: "An unknown `kid` fetches it again, once a minute at most.", Tests: []string{"internal/auth.TestRemoteRefreshesOnAnUnknownKidOncePerMinute"}},
		{Says: "A fetch that fails locks out no key that is known.", Tests: []string{"internal/auth.TestRemoteBadFetchLocksNobodyOut"}},
		{Says: "`sb_publishable_…` and `sb_secret_…`, also where the client sends nothing but `apikey`.",
			Tests: []string{sdk + "requests/publishable_key", sdk + "requests/secret_key", chromium + "supabase-js/requests/publishable_key", "internal/auth.TestAPIKeys"}},
		{Says: "They are compared in constant time.", Unshown: "a property of the code that no test measures"},
		{Says: "The key decides on the algorithm, never the token: `none`, a public key as a secret and an empty signature are refused.",
			Tests: []string{"internal/auth.TestAttackAlgorithmNone", "internal/auth.TestAttackPublicKeyAsSecret", "internal/auth.TestAttackEmptySignature", "internal/auth.TestAttackAlgorithmConfusion", "internal/auth.FuzzVerify"}},
		{Says: "`exp` and `nbf` hold, with 30 s of leeway.", Tests: []string{"internal/auth.TestLeeway"}},
		{Says: "An `sb-api-key` that comes in does not reach the function.", Tests: []string{sdk + "requests/a_forged_sb-api-key_is_stripped"}},
		{Says: "401 has the body `{\"code\",\"message\",\"msg\"}` and the code in `sb-error-code`.", Tests: []string{refusals + "nothing_sent", sdk + "errors/unauthorized"}},
		{Says: "Nothing sent: `UNAUTHORIZED_NO_AUTH_HEADER`, Missing authorization header.", Tests: []string{refusals + "nothing_sent"}},
		{Says: "Not `Bearer`, not decodable, without `alg`: `UNAUTHORIZED_INVALID_JWT_FORMAT`, Invalid JWT format.",
			Tests: []string{refusals + "not_Bearer", refusals + "undecodable", refusals + "no_algorithm", refusals + "unknown_publishable_key"}},
		{Says: "HS256, bad or expired: `UNAUTHORIZED_LEGACY_JWT`, Invalid JWT.", Tests: []string{refusals + "HS256_of_another_secret", refusals + "HS256_expired"}},
		{Says: "ES256 or RS256, bad or expired: `UNAUTHORIZED_ASYMMETRIC_JWT`, Invalid JWT.",
			Tests: []string{refusals + "ES256_tampered_with", refusals + "ES256_expired", "internal/auth.TestEveryAlgorithm/RS256"}},
		{Says: "Another algorithm: `UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM`, Unsupported JWT algorithm X.",
			Tests: []string{refusals + "another_algorithm", refusals + "algorithm_none"}},
	}
}

func platformErrors() []Row {
	errors := sdk + "errors/"
	return []Row{
		{Says: "They are JSON with `code` and `message`, have `sb-error-code`, and can be read by pages of other origins.",
			Tests: []string{chromium + "fetch/401_can_be_read", chromium + "fetch/404_and_503_can_be_read", "internal/gateway.TestPlatformErrors", "internal/gateway.TestPlatformErrorsAreReadableByBrowsers"}},
		{Says: "404 `NOT_FOUND`: the function is unknown.", Tests: []string{errors + "unknown_function", chromium + "supabase-js/errors/unknown_function"}},
		{Says: "503 `BOOT_ERROR`: it does not start; a throw at its top level is that.", Tests: []string{errors + "function_that_does_not_start", "internal/worker.TestBootErrors"}},
		{Says: "500 `WORKER_ERROR`: it ended while it had the request.", Tests: []string{errors + "worker_gone_before_an_answer", "e2e.TestCrashIsNoticedAndReplaced"}},
		{Says: "504 `IDLE_TIMEOUT`: no byte in time.", Tests: []string{errors + "idle_timeout", "internal/gateway.TestIdleTimeout"}},
		{Says: "546 `WORKER_RESOURCE_LIMIT`: it used up memory, CPU or its time.", Tests: []string{"e2e.TestLimitsAreAnswered546", "internal/gateway.TestLimitReached"}},
		{Says: "413 `REQUEST_TOO_LARGE`.", Tests: []string{errors + "body_too_large", chromium + "supabase-js/errors/body_too_large", curl + "a_body_of_21_MB_is_too_large", "internal/gateway.TestBodyLimit"}},
		{Says: "503 `OVERLOADED` with `Retry-After`: too many wait.", Tests: []string{errors + "overloaded", chromium + "supabase-js/errors/overloaded"}},
		{Says: "429 `OVERLOADED` with `Retry-After`: a caller calls too often.", Tests: []string{errors + "too_many_calls", chromium + "supabase-js/errors/too_many_calls"}},
		{Says: "A handler that throws: 500, the text `Internal Server Error`.", Tests: []string{errors + "a_handler_that_throws", "internal/worker.TestHandlerFaults"}},
		{Says: "One that returns no Response: 502, `Bad Gateway`.", Tests: []string{errors + "a_handler_that_returns_nothing", "internal/worker.TestHandlerFaults"}},
		{Says: "A 5xx of the function's own keeps its body and gets `EDGE_FUNCTION_ERROR`.", Tests: []string{errors + "a_function's_own_5xx", "internal/gateway.TestOwnServerErrorIsMarked"}},
		{Says: "Callers see why a function did not start in development.", Tests: []string{"e2e.TestDevShowsASyntaxError"}},
		{Says: "… and in production only the log does.",
			Tests: []string{"e2e.TestServeHidesErrorsFromCallers", inside + "a_function_that_does_not_start_is_logged", inside + "a_fault_is_logged,_with_its_stack_and_the_request's_id"}},
		{Says: "`x-relay-error: true` where the request could not be handed over: overload, a worker that went before an answer.",
			Tests: []string{errors + "overloaded", errors + "worker_gone_before_an_answer", chromium + "supabase-js/errors/worker_gone_before_an_answer"}},
		{Says: "Never on 401, 404, `BOOT_ERROR` or a limit.",
			Tests: []string{errors + "unauthorized", errors + "unknown_function", errors + "function_that_does_not_start", errors + "idle_timeout", errors + "too_many_calls", errors + "body_too_large"}},
		{Says: "Nor on a function's own answer, whatever it sets.", Tests: []string{errors + "a_function_cannot_claim_a_relay_error"}},
		{Says: "Every answer has `sb-request-id` (a UUIDv7), `x-served-by` and `x-sb-edge-region`.",
			Tests: []string{curl + "headers_of_every_answer", sdk + "answers/platform_headers"}},
		{Says: "It has `x-deno-execution-id` where a worker was asked.", Tests: []string{curl + "headers_of_every_answer"}},
		{Says: "The function and its log get the `sb-request-id`, too.",
			Tests: []string{sdk + "requests/headers_of_the_caller's_own", inside + "a_fault_is_logged,_with_its_stack_and_the_request's_id"}},
	}
}

func cors() []Row {
	return []Row{
		{Says: "A preflight reaches the function, whose answer stands.", Tests: []string{chromium + "fetch/preflight_answered_by_the_function", "internal/gateway.TestPreflight"}},
		{Says: "Where it answers with 404 or 405, the gateway does.", Tests: []string{chromium + "fetch/preflight_that_the_function_answers_with_405", "internal/gateway.TestPreflight"}},
		{Says: "With `--cors` or `CORS_ORIGINS` the gateway answers them all, and lets pages read the answers.",
			Tests: []string{chromium + "fetch/the_same_with_--cors", chromium + "fetch/a_function_that_knows_nothing_of_CORS", "internal/gateway.TestCORSOfAnswers"}},
		{Says: "It allows `authorization`, `x-client-info`, `apikey`, `content-type`, `x-retry-count`, `x-region`, `traceparent`, `tracestate` and `baggage`.",
			Tests: []string{chromium + "fetch/preflight_that_the_function_answers_with_405"}},
		{Says: "A header that the function set is neither overwritten nor doubled.",
			Tests: []string{chromium + "fetch/credentials,_where_the_function_allows_them", chromium + "fetch/the_same_with_--cors", "internal/gateway.TestCORSOfAnswers"}},
	}
}
