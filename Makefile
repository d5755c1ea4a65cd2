# Everything that is done with this tree is done by a target here; "make" alone
# lists them. It needs Go, git, bash and, for the real servers of the tests,
# npm and a C compiler.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN      ?= bin
FUZZTIME ?= 10s
ARGS     ?=
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

step := .ci/step
tool := go tool -modfile=.ci/tools/go.mod
# The checks' own programs: ./... leaves out folders that begin with a dot.
packages := ./... ./.ci/gotest ./.ci/democheck

##@ Use
.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '%s\n' '' 'First steps' \
		'  make demo                       see it work, on this machine, without any account' \
		'  make demo ARGS="--once --json"  ends by itself, with the result as a line of JSON' \
		'  make check                      before each commit'

.PHONY: build
# Static, so that it runs in an empty container. The version is passed in, because
# -buildvcs fails where git does not trust the folder's owner.
build: ## bin/mintmark and bin/mintbench, static (VERSION=... BIN=...)
	@mkdir -p $(BIN)
	@CGO_ENABLED=0 $(step) 'building $(BIN)/ from cmd/, version $(VERSION)' \
		go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o $(BIN)/ ./cmd/...

.PHONY: demo
demo: build ## show Mintmark at work (ARGS="--once --json")
	@$(BIN)/mintmark demo $(ARGS)

.PHONY: bench
bench: build ## measure it on this machine (ARGS=...)
	@$(BIN)/mintbench $(ARGS)

##@ Change
.PHONY: check
check: lint unit ## lint + unit: before each commit

.PHONY: unit
unit: ## tests that need no server; "make test" runs them with the race detector
	@go run ./.ci/gotest -timeout 15m $(packages)

.PHONY: test
# The conformance suite first and alone: it keeps to time limits of its own.
test: conformance ## all tests, against real servers, with the race detector
	@go run ./.ci/gotest -race -count=1 -timeout 20m -tags e2e -skip '^TestConformance$$' $(packages)

.PHONY: conformance
conformance: servers ## the MCP conformance suite, on a server and through Mintmark
	@table=$$(mktemp); trap 'rm -f "$$table"' EXIT; status=0; \
	MINTMARK_CONFORMANCE_TABLE=$$table \
		go run ./.ci/gotest -race -count=1 -timeout 20m -tags e2e -run '^TestConformance$$' ./internal/e2e || status=$$?; \
	cat "$$table"; exit $$status

.PHONY: vault
# What "make test" runs on OpenBao, but for namespaces, which are not in Vault's
# open edition.
on_vault := OpenBao|^TestASealedVault|^TestNoLeaseIsLeft|^TestAProviderIsTried$$|^TestEverythingOfAProvider
on_vault := $(on_vault)|^TestMintmark$$/^(leases a database user|injects a kept secret|puts a secret where)
vault: servers ## what the tests do on OpenBao, on HashiCorp Vault; it is built first
	@$(step) 'HashiCorp Vault' testdata/servers/install vault
	@MINTMARK_VAULT=hashicorp go run ./.ci/gotest -race -count=1 -timeout 20m -tags e2e \
		-skip '^TestNamespaces$$' ./providers/vault
	@MINTMARK_VAULT=hashicorp go run ./.ci/gotest -race -count=1 -timeout 20m -tags e2e \
		-run '$(on_vault)' ./cmd/mintmark ./internal/e2e ./internal/testenv ./providers/signedjwt

.PHONY: kubernetes
# Apart from "test": its server takes longer to build than all the others. After
# "make vault", MINTMARK_VAULT=hashicorp runs it with that and not with OpenBao.
kubernetes: compiler ## what speaks to Kubernetes, against a real API server
	@$(step) 'a Kubernetes API server, its etcd, OpenBao and SPIRE' testdata/servers/install etcd kube-apiserver openbao spire
	@go run ./.ci/gotest -race -count=1 -timeout 20m -tags e2e,kubernetes -run '^TestCluster' \
		./internal/testenv ./providers/kubernetestoken ./providers/vault ./deploy ./internal/e2e

.PHONY: ceph
# Apart from "test": it is a cluster, of Debian's packages.
ceph: compiler ## what speaks AWS STS and S3, against a Ceph Object Gateway
	@$(step) 'Ceph and SPIRE' testdata/servers/install ceph spire
	@go run ./.ci/gotest -race -count=1 -timeout 20m -tags e2e,ceph -run '^TestCeph' \
		./internal/testenv ./providers/awssts ./internal/e2e

.PHONY: seaweedfs
# Apart from "test": it takes as long to build as the longest there.
seaweedfs: compiler ## what speaks AWS STS and S3, against a SeaweedFS, whose audit log names the agent
	@$(step) 'SeaweedFS and SPIRE' testdata/servers/install seaweedfs spire
	@go run ./.ci/gotest -race -count=1 -timeout 20m -tags e2e,seaweedfs -run '^TestSeaweedFS' \
		./internal/testenv ./providers/awssts ./internal/e2e

.PHONY: fuzz
fuzz: python ## each fuzz target for FUZZTIME=10s
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

.PHONY: lint
lint: ## formatting, vet, linters, shell scripts, known vulnerabilities
	@$(step) 'gofmt' .ci/gofmt
	@$(step) 'go vet' go vet -tags e2e,kubernetes,ceph,seaweedfs $(packages)
	@$(step) 'shellcheck' .ci/shellcheck
	@$(step) 'golangci-lint (its first build takes minutes)' \
		$(tool) golangci-lint run $(packages)
	@$(step) 'govulncheck' .ci/govulncheck

##@ Prepare
.PHONY: servers
servers: compiler python ## the real servers that the tests run: OpenBao, SPIRE, MinIO, ...
	@.ci/debian systemd-analyze:systemd unshare:util-linux mount:mount
	@.ci/namespaces
	@$(step) 'real servers for the tests' testdata/servers/install

.PHONY: compiler
compiler: # The race detector and SPIRE's store need a C compiler.
	@.ci/debian gcc:gcc,libc6-dev

.PHONY: python
python: # One of the readers that Mintmark's reading is held against; Node is the other.
	@.ci/debian python3:python3

.PHONY: clean
clean: ## remove what build made; caches stay
	@rm -rf bin
