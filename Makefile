# The commands that people type. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# What is built or fetched once for all checkouts lies outside of them.
ifeq ($(shell id -u),0)
export AGENTFS_CACHE ?= /var/cache/agentfs
else
export AGENTFS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/agentfs
endif
# Two checkouts on one machine do not meet: their images differ by tag.
export IMAGE_TAG ?= dev-$(shell pwd -P | tr -d '\n' | sha256sum | cut -c1-8)

# One profile for tests, images and benchmarks: nothing is compiled twice.
CARGO := cargo
PROFILE := --release --locked
BIN := $(or $(CARGO_TARGET_DIR),target)/release
# Where kubectl agentfs is installed.
PREFIX ?= $(HOME)/.local

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Try it
.PHONY: dev
dev: pgserver ## PostgreSQL, migrations, the API and the worker on this machine; ARGS="--listen 127.0.0.1:9000" passes options, EMBEDDING_MODEL=all-MiniLM-L6-v2 takes the small model
	@scripts/model "$(EMBEDDING_MODEL)" >/dev/null || { [[ $$? -ne 2 ]] || exit 2; echo "make dev goes on without this embedding model." >&2; }
	@$(CARGO) build $(PROFILE) -p agentfs-server --bin agentfs-server
	@exec $(BIN)/agentfs-server dev $(ARGS)

.PHONY: demo
demo: ## Images, a real Kubernetes, the operator, one AgentFS, a memory put, found, backed up and restored; leaves it running
	@demo/up

.PHONY: demo-down
demo-down: ## Remove all that make demo made
	@demo/down

##@ Build
.PHONY: build
build: ## Compile everything
	@$(CARGO) build $(PROFILE) --workspace --all-targets

.PHONY: images
images: ## Build the images server, operator, postgres and pgbouncer (and server-local-embeddings: IMAGES=server-local-embeddings, with one model alone by EMBEDDING_MODEL=...)
	@images/build $(IMAGES)

.PHONY: kubectl-agentfs
kubectl-agentfs: ## Build kubectl agentfs and install it with its completion into PREFIX/bin, ~/.local/bin without a PREFIX
	@$(CARGO) build $(PROFILE) -p agentfs-operator --bin kubectl-agentfs
	@install -D -m 0755 $(BIN)/kubectl-agentfs $(DESTDIR)$(PREFIX)/bin/kubectl-agentfs
	@$(BIN)/kubectl-agentfs completion install --dir $(DESTDIR)$(PREFIX)/bin

.PHONY: krew
krew: ## What a release publishes of kubectl agentfs, into target/krew: an archive for this machine's kind, and krew's manifest
	@$(CARGO) build $(PROFILE) -p agentfs-operator --bin kubectl-agentfs
	@scripts/krew $(BIN)/kubectl-agentfs

.PHONY: generate
generate: ## Write what is made from the code: api/openapi.json, crds/, docs/CRD.md, the chart's definitions and rights, and parts of the Python client
	@scripts/generate

.PHONY: fmt
fmt: ## Format the code
	@$(CARGO) fmt --all

##@ Kubernetes for tests
.PHONY: cluster
cluster: ## Bring up a one-node Kubernetes of this checkout; its kubeconfig is .cluster/kubeconfig
	@tests/cluster/up

.PHONY: cluster-down
cluster-down: ## Remove it without a trace
	@tests/cluster/down

##@ Test
# How many tests run at once: more than there are processors, since most wait for PostgreSQL and for programs that they start.
test-code test-walk: export RUST_TEST_THREADS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) * 3 / 2)))

.PHONY: test
test: test-code test-kstatus test-contract test-cluster ## What CI runs: unit, API on a real PostgreSQL, its description, golden files, a smoke on a real Kubernetes

.PHONY: test-code
test-code: pgserver pgservers model versitygw ## The part of make test that needs no Kubernetes
	@$(CARGO) test $(PROFILE) --workspace --no-fail-fast

.PHONY: test-kstatus
test-kstatus: ## That Helm, Flux and Argo CD understand the conditions of an AgentFS, by their own libraries (needs Go)
	@cd tests/kstatus && go test ./...

.PHONY: test-models
test-models: ## That the local models beside the default find what they should, in both precisions (needs Maven, which brings bge-small-en-v1.5)
	@$(CARGO) test $(PROFILE) --workspace --test it -- --ignored local_model:: bge_finds

.PHONY: test-s3
test-s3: pgserver ## Backups in a bucket of MinIO (builds it once, which needs Go and takes some minutes)
	@scripts/minio >/dev/null
	@$(CARGO) test $(PROFILE) --workspace --test it -- --ignored minio

.PHONY: test-flood
test-flood: pgserver ## That ten thousand clients without a key keep nobody from the API; prints how long others waited
	@$(CARGO) test $(PROFILE) --workspace --test it -- --ignored --nocapture --test-threads 1 flood::

.PHONY: test-walk
test-walk: pgserver ## Each step of verify, drill, restore, also in place, and of its undoing with kill -9 after it, of the program and of PostgreSQL (backup and forget: make test)
	@$(CARGO) test $(PROFILE) --workspace --test it -- --ignored walk::

.PHONY: test-restore
test-restore: pgserver pgbouncer ## That nobody waits for a restore in place for longer than 250 ms, also through PgBouncer, among 10,000 and 1,000,000 entries
	@$(CARGO) test $(PROFILE) --workspace --test it -- --ignored --nocapture --test-threads 1 in_place::load::

.PHONY: test-contract
test-contract: ## The API held against its own description, by thousands of generated requests
	@tests/contract/run

.PHONY: test-sdk
test-sdk: pgserver ## The Python client: ruff, mypy, its tests on a server of their own and on each Python that is here, the README's lines on its wheel, and the tests of the frameworks that it adapts
	@$(CARGO) build $(PROFILE) -p agentfs-server --bin agentfs-server
	@AGENTFS_SERVER=$(abspath $(BIN))/agentfs-server sdk/python/test $(ARGS)

.PHONY: test-mcp
test-mcp: ## MCP: the official conformance suite and the inspector's strict mode (needs npm, which brings them)
	@tests/mcp/run

.PHONY: test-cluster
test-cluster: ## The part of make test on a real Kubernetes; a cluster that was not there before is removed again
	@tests/e2e/run smoke

.PHONY: test-recovery
test-recovery: ## Backups, restores and drills by resources on a real Kubernetes, and each step of them killed (an hour; needs Go)
	@tests/e2e/run recovery

.PHONY: test-upgrade
test-upgrade: ## The previous release and this one, side by side on one database
	@tests/compatibility/run

.PHONY: test-compose
test-compose: ## manifests/compose.yaml on this machine, with each command of the operations runbook (docker or podman)
	@tests/compose/run

.PHONY: test-all
test-all: test-code test-kstatus test-models test-s3 test-flood test-walk test-restore test-contract test-sdk test-mcp test-upgrade test-compose ## make test and what is longer: the Python client, MCP, upgrades, compose, all of the product on the cluster (test-recovery is part of that), with faults and at scale
	@AGENTFS_REST_SECONDS=600 tests/e2e/run

.PHONY: lint
lint: ## Formatting, clippy, shellcheck, alerts with their tests, and that generated files are current
	@scripts/lint

.PHONY: audit
audit: ## Licences, sources and known weaknesses of the dependencies (needs cargo-deny)
	@$(CARGO) deny check

.PHONY: bench
bench: ## Gets and puts in full: peaks, latency at a fixed rate, beside a snapshot and a dump, sizes, tenants, processes, memory; half an hour and 25 GB
	@tests/load/bench $(ARGS)

.PHONY: bench-quick
bench-quick: ## Gets and puts over HTTP beside pgbench, lists and moves, embedding jobs, the local model, searches; the next three are its parts alone
	@tests/load/bench-quick

.PHONY: bench-jobs
bench-jobs: pgserver ## Embedding jobs a second of one worker whose provider takes no time
	@$(CARGO) build $(PROFILE) -p agentfs-server -p agentfs-load --bin agentfs-server --bin bench-jobs
	@exec $(BIN)/bench-jobs $(ARGS)

.PHONY: bench-search
bench-search: pgserver ## Searches by meaning among 10,000 and 100,000 vectors: results, recall, time
	@$(CARGO) build $(PROFILE) -p agentfs-server -p agentfs-load --bin agentfs-server --bin bench-search
	@exec $(BIN)/bench-search $(ARGS)

.PHONY: bench-find
bench-find: pgserver ## How often each mode of search finds the right note of tests/search, with the local model or EMBEDDING_MODEL=...
	@$(CARGO) build $(PROFILE) -p agentfs-server -p agentfs-load --bin agentfs-server --bin bench-find
	@exec $(BIN)/bench-find --model "$$(scripts/model "$(EMBEDDING_MODEL)")" $(ARGS)

.PHONY: bench-embed
bench-embed: ## Texts a second of the local embedding model, or of EMBEDDING_MODEL=..., in single precision and in eight bits
	@$(CARGO) build $(PROFILE) -p agentfs-load --bin bench-embed
	@exec $(BIN)/bench-embed --model "$$(scripts/model "$(EMBEDDING_MODEL)")" $(ARGS)

.PHONY: bench-recovery
# On the PostgreSQL of the image, which has OpenSSL and lz4.
bench-recovery: ## Backup and restore beside the runbook's pg_dump and pg_restore, with up to 1,000,000 entries; takes an hour and 16 GB
	@$(CARGO) build $(PROFILE) -p agentfs-server -p agentfs-load --bin agentfs-server --bin bench-recovery
	@exec $(BIN)/bench-recovery --server-bin "$$(scripts/pgserver 17)" $(ARGS)

.PHONY: pgserver
pgserver: # PostgreSQL with pgvector for dev and tests, into the cache
	@scripts/pgserver >/dev/null

.PHONY: pgservers
pgservers: # PostgreSQL 16 and 17, and client programs that have zstd, for tests
	@scripts/pgserver 16 >/dev/null
	@scripts/pgserver 17 >/dev/null
	@scripts/pgclient 17 >/dev/null
	@scripts/pgclient 18 >/dev/null

.PHONY: pgbouncer
pgbouncer: # PgBouncer, for tests, into the cache
	@scripts/pgbouncer >/dev/null

.PHONY: model
model: # The default local embedding model and the fast one, into the cache
	@scripts/model >/dev/null
	@scripts/model all-MiniLM-L6-v2 >/dev/null

.PHONY: versitygw
versitygw: # A server that speaks S3, for tests, into the cache (needs Go)
	@scripts/versitygw >/dev/null
