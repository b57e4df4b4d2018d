# Everything that is done with this project, by name. `make` alone lists it.

GO       ?= go
FUZZTIME ?= 2m
BENCH    ?=
FUZZ     ?= .
DEEP     ?= 2m
# Go stamps the version from git into the binary, where there is a git that works.
VCS      := $(shell git status --porcelain >/dev/null 2>&1 && echo auto || echo false)

comma := ,

.DEFAULT_GOAL := help
.PHONY: help demo build static image test generate ci bench fuzz lint fmt race smoke sim-soak sim-canaries check-deep chaos openai-node clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

demo: build ## Run a swarm here for a minute and judge it. TRACE=file.csv SPEED=20 replays a trace, FLAGS="--nodes 9 …" is passed on
	@bin/swarmpurse demo $(if $(TRACE),--trace '$(TRACE)') $(if $(SPEED),--speed '$(SPEED)') $(FLAGS)

build: ## Build bin/swarmpurse
	@echo "building bin/swarmpurse"
	@$(GO) build -buildvcs=$(VCS) -o bin/swarmpurse ./cmd/swarmpurse

static: ## Build bin/swarmpurse without the C library, for any Linux of this kind of processor
	CGO_ENABLED=0 $(GO) build -buildvcs=$(VCS) -trimpath -ldflags='-s -w' -o bin/swarmpurse ./cmd/swarmpurse
	@if ldd bin/swarmpurse >/dev/null 2>&1; then echo "bin/swarmpurse is not static" >&2; exit 1; fi
	@bin/swarmpurse version

# No base image is fetched: what is built here stands for the stage in which the Dockerfile would build it. Docker's format knows health checks.
IMAGE  ?= swarmpurse
ENGINE ?= $(shell { docker buildx version && docker info; } >/dev/null 2>&1 && echo docker || for e in podman buildah; do command -v $$e >/dev/null && echo $$e && break; done)
ROOTS  := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
FORMAT  = $(if $(filter-out docker,$(ENGINE)),--format docker)

image: ## Build a container image of this tree with docker, podman or buildah, without a base image; IMAGE=name:tag names it, FLAGS="…" is passed on
	$(eval ENGINE := $(ENGINE))
	@test -n '$(ENGINE)' || { echo "none of docker (with buildx, and an engine that answers), podman and buildah is here: install one, or say ENGINE=…" >&2; exit 1; }
	@test -n '$(ROOTS)' || { echo "the certificates of public authorities were not found: install ca-certificates, or say ROOTS=file" >&2; exit 1; }
	@rm -rf bin/image && mkdir -p bin/image/out/data && cp '$(ROOTS)' bin/image/out/ca-certificates.crt
	CGO_ENABLED=0 GOOS=linux $(GO) build -buildvcs=$(VCS) -trimpath -ldflags='-s -w' -o bin/image/out/swarmpurse ./cmd/swarmpurse
	$(ENGINE) build $(FORMAT) --build-context build=bin/image -f node/deploy/Dockerfile -t '$(IMAGE)' $(FLAGS) bin/image

test: ## Run all tests
	$(GO) test ./...

generate: ## Write anew what is made from the code: the table of metrics, the dashboard for Grafana and the alert rules for Prometheus
	$(GO) generate ./...

# With SWARMPURSE_CI a test that lacks a tool fails, where it else skips.
ci: export SWARMPURSE_CI := 1
ci: export PATH := $(CURDIR)/bin:$(PATH)
ci: lint bin/promtool manifests race smoke ## What a change must pass: lint, all tests under the race detector, a short demo

# Three and a half minutes of CPU when it is built for the first time; the tag leaves out its plug-ins that discover services.
PROMTOOL := .ci/promtool
bin/promtool: $(PROMTOOL)/go.mod $(PROMTOOL)/go.sum
	$(GO) build -C $(PROMTOOL) -buildvcs=false -tags remove_all_sd -o '$(CURDIR)/$@' github.com/prometheus/prometheus/cmd/promtool

# Needs Node.js and npm. make ci does not ask for it.
openai-node: ## Check the proxy with OpenAI's client for Node
	cd .ci/openai-node && npm ci --no-audit --no-fund --ignore-scripts
	$(GO) test -tags openainode ./node/llm -run TestOpenAINode -v

# The pure packages start no goroutines, and the detector makes their laws, simulations and searches ten times slower: with it a few of each suffice
# (those of accounts that are used from many goroutines are all there), without it all are made. Each run of the simulator and the checker is one
# goroutine, or two: with it only some that run side by side. What asserts times of real pools runs alone.
PURE   := ./ledger ./node/admit ./policy/rollout ./sim/baseline
SINGLE := ./sim ./sim/explore ./sim/report ./sim/scenario ./ledger/placement
BESIDE := ^Test(Run|RandomFaults|SameTwice|Purity|HeardBeside)$$
TIMED  := ./sim/promise

.PHONY: manifests
manifests: ## Hold the manifests for Kubernetes against its types
	$(GO) test -C .ci/manifests ./...

# Each process that has the detector sleeps for a second at its end by default, so that goroutines still running are looked at; of our hundreds of short ones
# each would.
race: export GORACE := atexit_sleep_ms=20
race: ## Run all tests under the race detector, which needs a C compiler
	@if [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v "$$($(GO) env CC | cut -d' ' -f1)" >/dev/null; then \
		set -x; $(GO) test -race -p 2 -timeout 20m $$($(GO) list ./... | grep -vxF "$$($(GO) list $(PURE) $(SINGLE) $(TIMED))") && \
		$(GO) test -race -short $(PURE) && $(GO) test -race -short -run '$(BESIDE)' $(SINGLE) && $(GO) test -timeout 20m $(PURE) $(SINGLE) && $(GO) test $(TIMED); \
	elif [ -n "$$SWARMPURSE_CI" ]; then \
		echo "no C compiler ($$($(GO) env CC)), so the race detector cannot run: install gcc" >&2; exit 1; \
	else \
		echo "WARNING: no C compiler ($$($(GO) env CC)), so the race detector cannot run: install gcc. The tests run without it." >&2; \
		set -x; $(GO) test -p 2 -timeout 20m ./...; \
	fi

smoke: build ## Run a demo of 20 seconds
	bin/swarmpurse demo --duration 20s --agents 30

sim-soak: build ## Simulate 2,000 seeds of random faults, and 20 of each scenario that ships; SEEDS=200 for fewer, FLAGS="--each 2" is passed on
	bin/swarmpurse sim soak $(if $(SEEDS),--seeds $(SEEDS)) $(FLAGS)

sim-canaries: ## Try a bad revision with 200 seeds and one that decides alike with 1,000: what the guard of rollouts promises. SEEDS=40 for fewer
	$(GO) test ./sim -run '^TestCanarySeeds$$' -v -count 1 -timeout 0 -canary.seeds $(or $(SEEDS),200)

# A benchmark prints its target beside its figures. Its best is what the work takes, the rest what the machine did besides.
define MEASURE
	@echo; echo "== $(1)"
	@$(GO) test -run '^$$' $(2)

endef

bench: build ## Measure what has a target, in three minutes; BENCH=regexp runs those benchmarks of all packages instead, BENCH=. all
ifeq ($(BENCH),)
	$(call MEASURE,The local decision with rights at hand on one core and on two: 0 allocations; x-one-core is two against one,./node/admit -bench '^BenchmarkDecide$$' -cpu 1$(comma)2 -benchtime 400000x)
	$(call MEASURE,Beside it: the clock and golang.org/x/time/rate behind a sync.Map of 1000 keys,./node/admit -bench '^BenchmarkBaseline$$' -cpu 1$(comma)2 -benchtime 400000x)
	$(call MEASURE,Settlement,./node/admit -bench 'Settle$$' -cpu 1$(comma)2 -benchtime 400000x)
	$(call MEASURE,Admit and settle over HTTP beside a bare net/http handler of the same JSON,./node -bench '^BenchmarkHTTPAdmitSettle$$' -benchtime 40000x)
	$(call MEASURE,Every decision audited and rows signed$(comma) beside a node without$(comma) in turns,./node -bench '^BenchmarkAuditedAndSigned$$/^swarm$$' -benchtime 300000x)
	$(call MEASURE,Merge of 100000 rows,./ledger -bench '^BenchmarkMerge$$' -benchtime 20x)
	@echo; echo "== The doors of a node beside bare servers and Redis, and what the proxy adds"
	@bin/swarmpurse bench
	$(call MEASURE,The simulator: a steady swarm of 200 nodes; the figures that have a target are in sim/DESIGN.md,./sim -bench '^BenchmarkSwarm$$' -benchtime 2x)
else
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 ./...
endif

# The tokenizer's tables take half an hour and gigabytes to compile with the fuzzer's counters, which would be of no use there: it is compiled without.
FUZZBUILD := -gcflags='github.com/tiktoken-go/tokenizer/codec=-d=libfuzzer=0'

fuzz: ## Fuzz every decoder and parser, found by themselves, for FUZZTIME each, 2m by default, some two hours in all; FUZZ=regexp chooses
	@failed=; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(cat "$$dir"/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' | sort -u); do \
			if ! echo "$$dir $$f" | grep -q -e '$(FUZZ)'; then continue; fi; \
			echo "== $$dir $$f"; \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $(FUZZBUILD) "$$dir" || failed="$$failed\n  $$dir $$f"; \
		done; \
	done; \
	if [ -n "$$failed" ]; then printf "\nfailed; what made them fail is in their testdata/fuzz, commit it with the mend:$$failed\n"; exit 1; fi

check-deep: ## Explore every scope of sim/explore for DEEP, 2m by default, each in at most some 2 GiB
	$(GO) test ./sim/explore -run '^Test(Guard|Heir)?Scopes$$' -v -timeout 0 -parallel 1 -explore.depth 99 -explore.time $(DEEP) -explore.states 8000000

chaos: ## Break a swarm of 7 processes in namespaces for DURATION, 5m by default, and judge it; SEED=1 draws the same faults again
	@$(GO) test ./node/chaos -run '^TestChaos$$' -v -count 1 -timeout 0 -chaos.seed $(or $(SEED),0) -chaos.duration $(or $(DURATION),5m) -chaos.slack 0 -chaos.out '$(CURDIR)/bin/chaos'

lint: ## Check formatting, go vet and staticcheck
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "not formatted (make fmt does it):"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fmt: ## Format all Go files
	gofmt -w .

clean: ## Remove what was built
	rm -rf bin
