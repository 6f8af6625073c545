# Everything a developer runs. The two that matter: `make run` and `make test`.

GO ?= go
# The race detector needs a C compiler; without one the tests run plainly.
RACE := $(shell $(GO) env CGO_ENABLED | grep -q 1 && command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)

.PHONY: run build generate test vet lint unit e2e test-aws test-container fuzz bench profile bench-quick chaos compatibility tidy-check clean

run: ## serve the functions of this folder, reload on save
	$(GO) run ./cmd/selvedge dev

build: ## bin/selvedge
	CGO_ENABLED=0 $(GO) build -trimpath -pgo=cmd/selvedge/serve.pgo -ldflags="-s -w" -o bin/selvedge ./cmd/selvedge

generate: ## the committed files that are made from the code
	$(GO) generate ./...

test: vet lint unit e2e test-aws ## everything, with the real Deno; deployments where Python has moto

vet:
	$(GO) vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-clean:"; gofmt -l $$(git ls-files '*.go'); exit 1; }

lint:
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

unit:
	@test -n "$(RACE)" || echo "no C compiler: the race detector is off"
	$(GO) test $(RACE) -timeout 15m $$($(GO) list ./... | grep -vE '/e2e(/conformance|/chaos|/escape|/container|/aws)?$$')
	@# Under the race detector these leave the calls to package net.
	$(if $(RACE),$(GO) test ./internal/sockio ./internal/upstream ./internal/http1)

e2e: ## the real binary, the real Deno, clients of all kinds
	@for c in node npm curl; do command -v $$c >/dev/null || echo "no $$c: the tests that call with it are left out"; done
	@for c in "$${CHROMIUM:-chromium}" chromium-browser google-chrome google-chrome-stable; do command -v "$$c"; done | grep -q . || echo "no Chromium: the tests that call from a page are left out"
	$(GO) test $(RACE) -timeout 15m -count=1 -p 1 ./e2e ./e2e/conformance ./e2e/chaos
	@said=$$($(GO) test $(RACE) -timeout 15m -count=1 -v ./e2e/escape 2>&1) || { echo "$$said"; exit 1; }; \
	echo "$$said" | grep -E '^(ok|skipped:) '

test-aws: ## deployments, against an emulated AWS: Python with moto, the AWS CLI
	@said=$$($(GO) test -timeout 15m -count=1 -v ./e2e/aws 2>&1); status=$$?; \
	if [ $$status -eq 0 ]; then echo "$$said" | grep -E '^(ok|skipped:) |figures: |skipped: ' || true; else echo "$$said"; fi; exit $$status

test-container: ## the image that users get, on Docker Engine, which it installs on Debian when none is there
	SELVEDGE_CONTAINER_TESTS=1 $(GO) test -timeout 40m -count=1 -v ./e2e/container

FUZZTIME ?= 10s
fuzz: ## every fuzz target, FUZZTIME each
	@for pkg in $$($(GO) list ./internal/...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
	  done; \
	done

bench: ## the figures of docs/performance.md, against real peers
	$(GO) run ./bench -write

chaos: ## docs/reliability.md: misbehaving functions, killed workers, edits and stops under load
	CHAOS=full CHAOS_WRITE=1 $(GO) test -count=1 -timeout 2h -v ./e2e/chaos

profile: ## cmd/selvedge/serve.pgo, which releases are optimised by; every now and then, on a quiet machine
	$(GO) run ./bench -profile cmd/selvedge/serve.pgo

bench-quick: ## does the benchmark still run?
	$(GO) run ./bench -quick

compatibility: ## docs/compatibility.md, from the tests that it names
	$(GO) run ./e2e/conformance/compatibility

tidy-check:
	$(GO) mod tidy -diff

clean:
	rm -rf bin
