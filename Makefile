# weir: what to type. `make` alone prints this list; CONTRIBUTING.md says what each is for.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 10s
N        ?= 2000
SEED     ?= 0
SOAK     ?= 10m
FOR      ?= 30s
ARGS     ?=
export PATH := $(PATH):$(CURDIR)/bin/debian/usr/bin:$(CURDIR)/bin/debian/usr/sbin:/usr/sbin
PKGS      = $$(go list ./... | grep -v -e '/bench/e2e$$' -e '/bench/sim$$' -e '/bench/trial$$')
GOFILES   = $$(find . -name '*.go' -not -path './.git/*' -not -path '*/node_modules/*')

step = @printf '\n=== %s  %s\n' "$$(date +%H:%M:%S)" $(1)

.PHONY: help demo test check build player deps node-tools fmt fmt-check vet unit race scenarios e2e \
	crash chaos soak bench-ingest compose bench fuzz cover compose-keys compose-check clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## ---- run it ------------------------------------------------------------

demo: build ## an origin, two edges and a live channel on this machine (ARGS="--duration 30s")
	@bin/weir demo $(ARGS)

build: player ## bin/weir: one static binary
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/weir ./cmd/weir

player: ## fetch hls.js for the demo page; without npm the page plays natively
	@.ci/player

compose-keys: build ## keys for docker-compose.yml, into deploy/compose/keys (never committed)
	@deploy/compose/keygen bin/weir deploy/compose/keys

compose: compose-keys ## the same as containers, with three edges, Prometheus and Grafana
	@export WEIR_USER=$$(id -u):$$(id -g); [ "$$WEIR_USER" != 0:0 ] || unset WEIR_USER; \
	if docker compose version >/dev/null 2>&1; then exec docker compose up --build; else exec docker-compose up --build; fi

## ---- test it -----------------------------------------------------------

test: ## all that CI runs: installs what is missing, then checks, race tests, scenarios, end to end
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory player node-tools
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory race
	@$(MAKE) --no-print-directory scenarios
	@$(MAKE) --no-print-directory crash
	@$(MAKE) --no-print-directory e2e
	$(call step,"all green")

check: fmt-check vet ## gofmt, vet, staticcheck, house rules, scripts, compose and Prometheus files
	$(call step,"staticcheck")
	@go tool staticcheck ./...
	$(call step,"house rules")
	@go test -count=1 ./internal/lint
	@$(MAKE) --no-print-directory compose-check

deps: ## install what the tests need (Debian, Ubuntu), or say what to install (macOS)
	$(call step,"what the tests need")
	@.ci/deps

node-tools: ## npm packages that the end-to-end tests judge by
	@.ci/node-tools

fmt: ## gofmt -w
	@gofmt -s -w $(GOFILES)

fmt-check:
	$(call step,"gofmt")
	@out=$$(gofmt -s -l $(GOFILES)); if [ -n "$$out" ]; then echo "not formatted (make fmt):"; echo "$$out"; exit 1; fi

vet:
	$(call step,"go vet")
	@go vet ./...

unit: ## every package once, no race detector: quick
	@go test $(PKGS) ./bench/sim/...

race: ## every package under the race detector
	$(call step,"race tests")
	@go test -race -timeout 20m $(PKGS)

scenarios: ## whole clusters in one process under a fake clock
	$(call step,"scenarios")
	@go test -race -timeout 15m ./bench/sim/...

e2e: ## whole binaries: FFmpeg in, real players out
	$(call step,"end to end")
	@go test -count=1 -v -timeout 25m ./bench/e2e/...

crash: ## an origin killed 200 times while viewers watch, and a minute's soak
	$(call step,"crash")
	@go test -count=1 -v -timeout 20m -run 'TestViewersSurvive|TestTheAudience' ./bench/trial -kills 200
	@go test -count=1 -v -timeout 10m -run TestSoak ./bench/trial -soak 1m

chaos: ## crash, as often as you like (N=2000, SEED=7)
	@go test -count=1 -v -timeout 24h -run TestViewersSurvive ./bench/trial -kills $(N) -seed $(SEED)

soak: ## an origin with channels that restart and disks that fill, for SOAK (10m): goroutines, memory, descriptors must stay flat
	@go test -count=1 -v -timeout 24h -run TestSoak ./bench/trial -soak $(SOAK)

bench-ingest: ## fifty channels of four renditions at 8 Mbit/s into one origin, and how soon they are published (FOR=30s)
	@go test -count=1 -v -timeout 1h -run '^$$' -bench . -benchtime 1x ./bench/trial -for $(FOR)

bench: ## Go benchmarks with allocations (PKG=./edge BENCH=Hit)
	@go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem $(or $(PKG),$(PKGS))

fuzz: ## each fuzzer for FUZZTIME (10s)
	@for p in $(PKGS); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			printf '\n=== %s  %s %s\n' "$$(date +%H:%M:%S)" "$$p" "$$f"; \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

cover: ## coverage of the whole, as coverage/index.html
	@mkdir -p coverage
	@go test -coverpkg=./... -coverprofile=coverage/profile $(PKGS) ./bench/sim/...
	@go tool cover -html=coverage/profile -o coverage/index.html
	@go tool cover -func=coverage/profile | tail -1

compose-check:
	$(call step,"scripts compose and Prometheus files")
	@.ci/files

clean: ## what was built
	rm -rf bin dist coverage bench/e2e/artefacts
