# Every command a person or CI needs; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:

help: ## list the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Not `npm ci`: it insists on lock entries for the optional binaries of every other platform.
node_modules: package.json package-lock.json .npmrc
	ONNXRUNTIME_NODE_INSTALL=skip npm install --no-save --no-audit --no-fund --loglevel=error
	@touch node_modules

check: node_modules ## format, lint, types, dead code
	npm run --silent check

test: node_modules ## every test; sets up all it needs
	npm run --silent test

e2e: node_modules ## the operator on a real cluster, from nothing to nothing; root on Debian, or say what is missing
	@node_modules/.bin/node --disable-warning=ExperimentalWarning test/e2e/e2e.ts

demo: node_modules ## four simulated weeks of payments learnt, then live ones judged in one process; DEMO_SECONDS=20 ends by itself, DEMO_FLAGS='--port 8081'
	@mkdir -p .run && rm -f .run/demo.db*
	@bin/anomaly run -f manifests/pipelines/payments.yaml --simulate --history 28d --history-db .run/demo.db $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS)) $(DEMO_FLAGS)

up: node_modules ## Kafka, Redis and every role as local background processes, and what to try next
	@node_modules/.bin/node --disable-warning=ExperimentalWarning tools/local/up.ts

down: node_modules ## end what `make up` started
	@node_modules/.bin/node --disable-warning=ExperimentalWarning tools/local/down.ts

bench: node_modules ## every benchmark, and docs/benchmarks.md; takes some minutes on an idle machine
	@node_modules/.bin/node --disable-warning=ExperimentalWarning bench/run.ts

soak: node_modules ## the pipeline under load, and whether memory stays flat: MINUTES=10 RATE=2000
	@node_modules/.bin/node --disable-warning=ExperimentalWarning bench/soak.ts --minutes $(or $(MINUTES),10) --rate $(or $(RATE),2000)

chaos: node_modules ## everything under random faults, counted by Kafka's own client: MINUTES=1 SEED=1 BROKERS=1|3
	@node_modules/.bin/node --disable-warning=ExperimentalWarning bench/chaos.ts --minutes $(or $(MINUTES),1) --seed $(or $(SEED),1) --brokers $(or $(BROKERS),1)

bench-operator: node_modules ## the operator with PIPELINES=1000 on one API server, and days of lag simulated
	@node_modules/.bin/node bench/lag-policy.ts
	@node_modules/.bin/node bench/operator.ts $(or $(PIPELINES),1000)

manifests: node_modules ## what charts/ and manifests/ have of other sources: schema, rules, versions, the operator as it renders
	@npm run --silent generate:chart
	@npm run --silent generate:install
	@npm run --silent generate:manifests

quality: node_modules ## what the detectors find in labelled collections: make quality DATA=FOLDER ONLY=nab,kpi
	@node_modules/.bin/node bench/quality/$(if $(ABLATE),ablation.ts --data '$(DATA)',quality.ts --data '$(DATA)') $(if $(ONLY),--only '$(ONLY)') $(if $(PYTHON),--python '$(PYTHON)')

, := ,
ENGINE ?= docker
IMAGE ?= anomaly
VERSION ?= $(shell sed -n 's/^  "version": "\(.*\)",$$/\1/p' package.json)
ARCHIVE ?= dist/anomaly-$(VERSION).tar
# How this machine reaches the npm registry, if in a way of its own: seen by the build, not kept in the image.
SECRETS := $(patsubst %,--secret id=npmrc$(,)src=%,$(wildcard $(HOME)/.npmrc)) $(patsubst %,--secret id=authorities$(,)src=%,$(NODE_EXTRA_CA_CERTS))

image: ## the image of every role: ENGINE=docker|buildah BASE=… IMAGE=anomaly VERSION=… ONNX=1 to run ONNX models
	BUILDX_NO_DEFAULT_ATTESTATIONS=1 $(ENGINE) build --tag $(IMAGE):$(VERSION) $(if $(BASE),--build-arg BASE=$(BASE)) $(if $(ONNX),--build-arg ONNX=$(ONNX)) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null) --build-arg SOURCE=$(SOURCE) \
	  $(SECRETS) .

image-archive: image ## the same, written to the file ARCHIVE=dist/anomaly-VERSION.tar
	@mkdir -p $(dir $(ARCHIVE)) && rm -f $(ARCHIVE)
	$(if $(filter buildah,$(ENGINE)),buildah push --quiet $(IMAGE):$(VERSION) docker-archive:$(ARCHIVE):$(IMAGE):$(VERSION),$(ENGINE) save --output $(ARCHIVE) $(IMAGE):$(VERSION))

kind-up: node_modules ## a cluster in Docker (kind) with Kafka, the operator and the pipeline payments, and what to try next
	@node_modules/.bin/node --disable-warning=ExperimentalWarning tools/try-out/up.ts kind

kind-down: ## end what `make kind-up` started
	kind delete cluster --name anomaly

cluster-up: node_modules ## the same without a container engine: processes of this machine; root on Debian
	@node_modules/.bin/node --disable-warning=ExperimentalWarning tools/try-out/up.ts cluster

cluster-down: node_modules ## end what `make cluster-up` started
	@node_modules/.bin/node --disable-warning=ExperimentalWarning tools/try-out/down.ts

# This changes the files that carry the version. Commit and tag them afterwards.
release: node_modules ## dist/ with chart, manifests, image archive and checksums: make release VERSION=x.y.z [REGISTRY=ghcr.io/OWNER]
	@[[ "$(VERSION)" =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$$ ]] || { echo 'release: "$(VERSION)" is no version: make release VERSION=x.y.z' >&2; exit 2; }
	@grep -q '^## $(VERSION)' CHANGELOG.md || { echo 'release: CHANGELOG.md has no "## $(VERSION)": say there what changed' >&2; exit 2; }
	npm version --no-git-tag-version --allow-same-version $(VERSION)
	$(MAKE) --no-print-directory manifests
	rm -rf dist && mkdir dist
	node_modules/.bin/node tools/release/package.ts dist --version $(VERSION) $(if $(REGISTRY),--image $(REGISTRY)/anomaly)
	cp crds/anomaly.com_anomalypipelines.yaml dist/anomaly-crd-$(VERSION).yaml
	$(MAKE) --no-print-directory image-archive VERSION=$(VERSION)
	gzip --best --no-name dist/anomaly-$(VERSION).tar
	cd dist && sha256sum -- * > SHA256SUMS && cat SHA256SUMS

publish: node_modules ## the image and the chart of dist/ to a registry: make publish VERSION=x.y.z REGISTRY=ghcr.io/OWNER [SIGN=1]
	@node_modules/.bin/node tools/release/publish.ts --version $(VERSION) --registry '$(REGISTRY)' $(if $(SIGN),--sign)

.PHONY: publish image image-archive release kind-up kind-down cluster-up cluster-down
.PHONY: help check test e2e demo up down bench bench-operator chaos soak quality manifests
