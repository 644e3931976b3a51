# The commands of this repository. `make` lists them. ARGS="…" is passed on where it says so.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-kafka test-faults lint bench bench-delivery bench-hops bench-partitions bench-takeover soak build runtime fuzz models calibrate models-report sample prerequisites clean

EXAMPLE := examples/fashion
SPEC ?= $(EXAMPLE)/fashion.yaml
ARGS ?=
MINUTES ?= 60
# A Python with PyTorch, for `make models` alone. Debian's own has one as a package.
PYTHON ?= /usr/bin/python3

help: ## list the commands
	@echo 'usage: make COMMAND'
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name what; do printf '  %-17s %s\n' "$$name" "$$what"; done

demo: build ## run the example on the embedded broker, live in the terminal (ARGS="--queries 5000 --json")
	@bin/weir demo --pipeline $(SPEC) $(ARGS)

test: ## pass all tests; with Java 17 and Maven also against a real Kafka
	@scripts/test

test-kafka: ## pass the tests that talk to a real Kafka (needs Java 17 and Maven)
	@scripts/test --kafka

test-faults: ## kill and freeze workers and brokers under load, many times, and three nodes (WEIR_FAULT_SEED=N replays; about 20 minutes)
	@WEIR_FAULTS=long go test -race -count 1 -timeout 45m -v -run 'TestFaults' ./cmd/weir/e2e $(ARGS)

lint: ## vet, staticcheck, gofmt, and the syntax of the scripts
	@scripts/lint

bench: build ## measure each speed beside its floor (ARGS is passed on)
	@go run ./bench $(ARGS)

bench-delivery: build ## the price of the exactly-once effect, on a real Kafka (needs Java 17 and Maven)
	@go run ./bench -run delivery $(ARGS)

bench-hops: build ## two hops through a real Kafka, beside a hand-written loop with two
	@go run ./bench -run hops $(ARGS)

bench-partitions: build ## what a query costs with 100 partitions, beside 4, on a real Kafka
	@go run ./bench -run partitions $(ARGS)

bench-takeover: build ## how long partitions are without answers when workers leave, come and crash, on a real Kafka
	@go run ./bench -run takeover $(ARGS)

soak: build ## an hour at half the capacity, on a real Kafka: memory and latency must stay as they are (MINUTES=60; ARGS="--minutes 3")
	@go run ./bench -run soak -minutes $(MINUTES) $(ARGS)

build: runtime ## build bin/weir
	@go build -o bin/weir ./cmd/weir

runtime: prerequisites ## fetch ONNX Runtime's library into the user's cache, once
	@scripts/onnxruntime >&2

prerequisites: ## check what must be there before
	@scripts/prerequisites

fuzz: ## fuzz every fuzz test for FUZZTIME (10s)
	@scripts/fuzz

models: ## train the example's models anew (about 20 minutes), then calibrate and measure them
	@scripts/models train $(PYTHON)
	@$(MAKE) --no-print-directory calibrate models-report

calibrate: ## choose the gate's threshold on the images held out for it (ARGS="--eps 0.25")
	@scripts/models calibrate $(ARGS)

models-report: ## measure the example's models on the test images
	@scripts/models report $(ARGS)

sample: ## draw the example's sample of test images anew
	@scripts/models sample $(ARGS)

clean: ## remove what was built here (not the user's cache)
	@rm -rf bin .weir cover.out
