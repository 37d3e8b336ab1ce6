# Versions of tools are fixed here and nowhere else.
GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOFUMPT       = go run mvdan.cc/gofumpt@v0.12.0
GORELEASER    = go run github.com/goreleaser/goreleaser/v2@v2.16.0

export CGO_ENABLED = 0

.PHONY: build demo test e2e e2e-tools faults bench lint generate release-check clean

build: ## the binary, ./vicr
	go build -trimpath -o vicr .

demo: build ## trust, log in, pull, tag, push and pull back, against a registry of its own
	@sh testdata/demo.sh ./vicr

test: ## needs nothing but Go
	go test ./...

e2e: ## real engines and registries; needs root, e2e-tools and what it names; FULL=1 the whole matrix
	@! grep -n 't\.Skip' cmd/e2e*_test.go internal/*/e2e*_test.go internal/testkit/rig*.go
	go test -tags e2e -count=1 -timeout 15m -run '^TestReal' ./internal/testkit ./internal/change ./internal/engine ./internal/proof ./cmd

e2e-tools: ## the engines for e2e that Debian lacks, into a cache; FULL=1 one more
	@sh testdata/e2e-tools.sh

faults: ## kills, refused system calls and signals at every numbered crash point; FAULTS=full also all pairs of kills, 100 kills of a pull, 10 GiB
	go test -tags crashpoints -count=1 -timeout 40m -run '^TestCrash' ./internal/store ./internal/change
	go test -tags faults -count=1 -timeout 90m -run '^TestCrash' ./cmd
	go test -count=1 -timeout 20m -run '^TestPushKilled' ./cmd

bench: ## vicr beside its peers, into docs/performance.md; root for the rows of the engine
	go run ./internal/bench -out docs $(ARGS)

lint:
	$(GOLANGCI_LINT) run
	$(GOLANGCI_LINT) fmt --diff

generate: ## command pages, completions, docs/errors.md
	go test ./cmd -run TestGenerated -update

release-check:
	$(GORELEASER) check

clean:
	rm -rf vicr dist
