package contract

func layout() []Row {
	const (
		found = "internal/function.TestDiscoverFindsFunctions"
		toml  = "internal/config.TestLoadProject"
		merge = "internal/function.TestEnvMergeOrder"
	)
	return []Row{
		{Says: "A function is a folder with `index.ts`, `.tsx`, `.js`, `.mjs` or `.jsx`.",
			Tests: []string{found, "internal/bundle.TestForms/hello", "internal/bundle.TestForms/tsx", "internal/bundle.TestForms/javascript", "internal/bundle.TestForms/mjs"}},
		{Says: "Its name begins with a letter and goes on with letters, digits, `_` and `-`; others are an error that says so.",
			Tests: []string{"internal/function.TestValidSlug", "internal/function.TestDiscoverKeepsProblemsApart"}},
		{Says: "Folders that begin with `_` or `.` are never functions.",
			Tests: []string{found, curl + "routes/other_paths_are_404"}},
		{Says: "`main/` is Supabase's router: it is passed over, and that is said once.", Tests: []string{found}},
		{Says: "Functions are found in `functions/` and in `supabase/functions/`.", Tests: []string{"internal/config.TestFunctionsFolder"}},
		{Says: "`config.toml` is found beside or above them.", Tests: []string{"internal/config.TestProjectFile"}},
		{Says: "`[functions.NAME]` has `enabled`, `verify_jwt`, `entrypoint`, `import_map`, `static_files` and `env`.",
			Tests: []string{toml, found, "internal/function.TestStaticFiles", "internal/bundle.TestStaticFiles"}},
		{Says: "`[edge_runtime]` has `policy`, and `secrets`, whose values may be `env(NAME)`.",
			Tests: []string{toml, "internal/function.TestDiscoverLimitsAndPolicy"}},
		{Says: "`[edge_runtime] enabled = false` switches functions off.", Missing: "it is read, but switches nothing off"},
		{Says: "Paths in `config.toml` are relative to its folder.",
			Tests: []string{"internal/function.TestImportsKind", "internal/function.TestStaticFiles"}},
		{Says: "A key that nobody knows is warned of; a value of a wrong type is an error that names file, key and line.",
			Tests: []string{"internal/config.TestProjectWarnings", "internal/config.TestProjectErrors", "internal/config.TestMessagesNameTheFileAsTheUserDoes"}},
		{Says: "The import map is the first of: `import_map` of the configuration, the function's `deno.json`, `deno.jsonc`, `import_map.json`, then `functions/import_map.json`.",
			Tests: []string{"internal/function.TestImportsOrder", "internal/bundle.TestForms"}},
		{Says: "`package.json` counts only where there is none of these.", Tests: []string{"internal/function.TestImportsOrder"}},
		{Says: "`.npmrc` is the function's own or the nearest above it.", Tests: []string{"internal/function.TestNPMRC", "internal/bundle.TestNPMRC"}},
		{Says: "Of variables the later wins: `[edge_runtime.secrets]`, `functions/.env` or `--env-file`, the function's `.env`, `[functions.NAME.env]`.",
			Tests: []string{merge}},
		{Says: "Variables that begin with `SUPABASE_` are reserved: a file's are passed over with a warning.", Tests: []string{merge}},
		{Says: "Functions get `SUPABASE_URL`, `_ANON_KEY`, `_SERVICE_ROLE_KEY`, `_DB_URL`, `_PUBLISHABLE_KEYS`, `_SECRET_KEYS`, `_JWKS`, `_FUNCTION_SLUG`, `SB_REGION`, `SB_EXECUTION_ID` and `DENO_DEPLOYMENT_ID`.",
			Tests: []string{inside + "environment"}},
		{Says: "They never get the server's own: `JWT_SECRET`, `AWS_*`, `ECS_*`, or anything else of its environment.",
			Tests: []string{inside + "environment", "internal/config.TestPlatformEnv", "internal/worker.TestEnvironment", "e2e.TestFunctionEnvironment"}},
	}
}

func entryForms() []Row {
	return []Row{
		{Says: "`Deno.serve` in all its overloads; port and host name are ignored.",
			Tests: []string{entry + "Deno.serve(handler)", entry + "Deno.serve(options,_handler)", entry + "Deno.serve({handler})", entry + "Deno.serve({},_handler)_in_async"}},
		{Says: "Its `signal` is ignored.", Tests: []string{entry + "Deno.serve_with_signal"}},
		{Says: "Its `onListen` runs.", Tests: []string{entry + "Deno.serve_with_onListen"}},
		{Says: "`export default { fetch }`.", Tests: []string{entry + "export_default_{fetch}", entry + "default_class_instance"}},
		{Says: "`serve` of the standard library, which listens by itself.",
			Tests: []string{entry + "std_serve", entry + "std_serve,_awaited", entry + "for_await_of_connections"}},
		{Says: "`node:http`, whatever port it listens at.",
			Tests: []string{entry + "node:http", entry + "node:http,_no_port,_callback", entry + "node:http,_listening_after_load"}},
		{Says: "Express and Hono.", Tests: []string{"e2e.TestExamples"}},
		{Says: "Oak and Fastify.", Tests: []string{"e2e.TestFrameworksThatListen"}},
	}
}

func workerLife() []Row {
	const (
		waits   = "internal/worker.TestRetireWaits/"
		unbound = "nothing enforces it"
	)
	return []Row{
		{Says: "256 MB of memory: the V8 heap ends there.", Tests: []string{"internal/worker.TestProcessEnds/memory", "internal/config.TestDefaults"}},
		{Says: "256 MB of memory: what lies outside of the heap, too.", Tests: []string{"internal/pool.TestHardLimits", "internal/pool.TestGarbageIsNotMemory", "e2e.TestLimitsAreAnswered546"}},
		{Says: "2 s of CPU a request, and retirement after 1 s.", Tests: []string{"internal/pool.TestHardLimits", "internal/pool.TestSoftLimits", "internal/pool.TestManyDearRequests", "internal/pool.TestLoopBesideOthers"}},
		{Says: "400 s of a worker's life.", Tests: []string{"internal/pool.TestHardLimits", "internal/pool.TestWallClockLosesNothing"}},
		{Says: "150 s until the first byte of an answer.", Tests: []string{sdk + "errors/idle_timeout", "internal/gateway.TestIdleTimeout"}},
		{Says: "20 MB for a bundle.", Missing: unbound},
		{Says: "256 MB in `/tmp`, which is the worker's own.", Tests: []string{"internal/worker.TestOwnFolder", "internal/pool.TestHardLimits"}},
		{Says: "`EdgeRuntime.waitUntil(promise)`: the worker is not stopped before it settles.",
			Tests: []string{waits + "for_waitUntil", waits + "for_all_of_several,_also_rejected", "e2e.TestExampleBackgroundTask", "internal/pool.TestCloseWaitsForBackgroundWork"}},
		{Says: "`beforeunload` has a `detail.reason`.", Tests: []string{"internal/worker.TestRetire"}},
		{Says: "What it gives to `waitUntil` is waited for, and its listeners are bounded in time.",
			Tests: []string{waits + "for_what_beforeunload_gives_to_waitUntil", waits + "not_for_a_listener_that_loops", waits + "no_longer_than_its_context"}},
		{Says: "A worker that is retired takes no new request and finishes those it has: nothing in flight is lost.",
			Tests: []string{"internal/pool.TestUpdateUnderLoad", "internal/pool.TestUpdateLetsRequestsFinish", "e2e.TestDevFinishesRequestsOnTheOldWorker", "e2e.TestShutdownFinishesRequests"}},
		{Says: "A promise that nobody waits for holds no worker.", Tests: []string{waits + "not_for_a_floating_promise"}},
		{Says: "An open WebSocket holds one.", Tests: []string{"internal/gateway.TestShutdownWaitsForWebSockets"}},
		{Says: "… but not while it is idle.", Missing: "one that is open counts as a request"},
		{Says: "Policy `per_worker`: a worker serves many requests at once.", Tests: []string{"internal/pool.TestScaleOutByConcurrency", "internal/worker.TestManyRequestsAtOnce"}},
		{Says: "Policy `oneshot`: one request, then the worker goes.", Tests: []string{"internal/pool.TestOneShot"}},
		{Says: "Policy `per_request`: one request at a time.", Tests: []string{"internal/pool.TestPerRequestWorkersAreUsedAgain"}},
		{Says: "Event `boot`: its time, split into queue, bundle, process and load.", Tests: []string{inside + "boot_is_logged_with_its_parts"}},
		{Says: "Event `boot_failure`.", Tests: []string{inside + "a_function_that_does_not_start_is_logged", "e2e.TestBootFailuresBackOff"}},
		{Says: "Event `uncaught_exception`.", Tests: []string{"e2e.TestCrashIsNoticedAndReplaced"}},
		{Says: "Event `log`: the console, with level and the request's id.", Tests: []string{inside + "a_fault_is_logged,_with_its_stack_and_the_request's_id", "internal/worker.TestConsole"}},
		{Says: "Event `shutdown`: a reason, CPU time and memory.", Tests: []string{"e2e.TestScalesToZeroWhenIdle", "internal/pool.TestBackToZero", "internal/observe.TestGoldens"}},
		{Says: "Reasons `early_drop`, `code_changed` and `termination_requested`.",
			Tests: []string{"e2e.TestScalesToZeroWhenIdle", "internal/pool.TestUpdateLetsRequestsFinish", "internal/pool.TestCloseWaitsForRequests"}},
		{Says: "Reasons `wall_clock_time`, `cpu_time` and `memory`.", Tests: []string{"e2e.TestLimitsAreAnswered546", "internal/pool.TestSoftLimits"}},
	}
}

func walls() []Row {
	held := []string{inside + "walls"}
	return []Row{
		{Says: "No subprocess, no FFI.", Tests: []string{inside + "walls", "internal/worker.TestOwnFolder", "internal/deno.TestArgsAlwaysWall"}},
		{Says: "No signal to another process.", Tests: held},
		{Says: "`Deno.exit` ends only the worker; the next request has another.", Tests: []string{"e2e.TestCrashIsNoticedAndReplaced"}},
		{Says: "Nothing is read or written outside of the server's bundles and the worker's own temporary folder.", Tests: held},
		{Says: "A function cannot read the bundle of another one.", Missing: "every worker may read below the folder of bundles, and list it"},
		{Says: "No other worker's sockets or temporary files.", Tests: []string{"internal/worker.TestOwnFolder"}},
		{Says: "No metadata service of a cloud, however its address is written.", Tests: held},
		{Says: "… nor by a name that resolves to it.", Unshown: "Deno checks the address a name resolves to, but no test resolves such a name"},
		{Says: "Ports 25 and 587 cannot be connected to.", Missing: "nothing blocks them"},
	}
}
