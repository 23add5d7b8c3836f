# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
#
# `make demo` and `make test` need nothing but Python 3.11 or newer; they set up .venv themselves.

PYTHON ?= python3
# The newest Airflow, with the newest of everything.
NEWEST := airflow-3.3.2
# A file of constraints/. Another one, such as mwaa-3.3.1, has an environment of its own.
PINS ?= $(NEWEST)
AIRFLOW := $(lastword $(subst -, ,$(PINS)))
# The AWS CLI wants other versions than Amazon MWAA pins.
GROUP := $(if $(filter $(NEWEST),$(PINS)),dev,test)
VENV := $(if $(filter $(NEWEST),$(PINS)),.venv,.venv-dev-$(PINS))
BIN := $(VENV)/bin

# Rows of the matrix with the newest of everything; those of Amazon MWAA have AWS's own pins.
NEWEST_OF_EVERYTHING := 2.11.2 3.1.8 3.2.2 3.3.2
# Airflow 3.2.2 breaks with newer releases of these, which its own metadata admits: its execution API with
# fastapi 0.137 (TITerminalStatePayload needs a discriminator), its API server with svcs 26 (svcs_registry).
HOLD_3.2.2 := 'fastapi<0.137' 'svcs<26'

.DEFAULT_GOAL := help
.PHONY: help install demo lint test coverage test-all test-slow soak docs matrix browser services screenshots bench \
	release-check mutation api-model clean constraints

help:
	@echo 'make install        set up $(VENV) (does nothing when it is up to date)'
	@echo 'make demo           reads to a report, computed here, in a real Airflow; KEEP=1 leaves it running'
	@echo 'make test           unit tests, the local HealthOmics, a smoke test in a real Airflow, and the docs'
	@echo 'make test-all       adds the slow tests, the matrix and the release check;'
	@echo '                    for root, installs chromium, PostgreSQL and Redis by apt if they are missing'
	@echo 'make coverage       unit tests, the local HealthOmics, and which lines and branches they reach'
	@echo 'make soak           100,000 random histories of a task, and each fault at each point; an hour'
	@echo 'make docs           the documentation site, into build/docs; a warning is an error'
	@echo 'make matrix         the built wheel under the pins of each supported Airflow; ROWS="mwaa-3.0.6 ..."'
	@echo 'make release-check  what would be uploaded: contents, metadata, imports in a bare environment'
	@echo 'make bench          what waiting costs, beside the pattern of the amazon provider; an hour'
	@echo 'make screenshots    take docs/images anew'
	@echo 'make mutation       change the code of starts and waits, and see that a test fails; an hour or two'
	@echo 'make lint           ruff (format and lint) and mypy'
	@echo 'make constraints    resolve constraints/ anew'
	@echo 'make api-model      take what older botocore releases lack from the installed one'
	@echo 'make clean          remove every environment and cache'
	@echo
	@echo 'PINS=mwaa-3.3.1 (a file of constraints/) lets install, demo and test use another Airflow.'

install: $(VENV)/.installed

# uv comes by pip, everything else by uv. Older pins have a uv that lacks the options below.
$(VENV)/.installed: pyproject.toml constraints/$(PINS).txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints/$(NEWEST).txt uv
	$(BIN)/uv pip install --system-certs --quiet --python $(BIN)/python --constraint constraints/$(PINS).txt \
		--group $(GROUP) --editable '.[testing,engine]' 'apache-airflow==$(AIRFLOW)'
	touch $@

# The other side of the benchmark: aiobotocore pins an older botocore. Its Python draws the plot too.
$(VENV)-bench/.installed: $(VENV)/.installed constraints/benchmark-peer.txt
	$(PYTHON) -m venv --clear $(VENV)-bench
	$(BIN)/uv pip install --system-certs --quiet --python $(VENV)-bench/bin/python --constraint constraints/benchmark-peer.txt \
		--group bench --editable . 'apache-airflow==$(AIRFLOW)'
	touch $@

# awscli pins an older docutils.
$(VENV)-docs/.installed: $(VENV)/.installed constraints/docs.txt
	$(PYTHON) -m venv --clear $(VENV)-docs
	$(BIN)/uv pip install --system-certs --quiet --python $(VENV)-docs/bin/python --constraint constraints/docs.txt \
		--group docs --editable '.[testing]' 'apache-airflow==$(AIRFLOW)'
	touch $@

# The processes of the distributed Airflow run in it, the tests in $(VENV).
$(VENV)-topology/.installed: $(VENV)/.installed constraints/topology.txt
	$(PYTHON) -m venv --clear $(VENV)-topology
	$(BIN)/uv pip install --system-certs --quiet --python $(VENV)-topology/bin/python --constraint constraints/topology.txt \
		--group topology --editable . 'apache-airflow==$(AIRFLOW)'
	touch $@

demo: install
	$(BIN)/python -m dev.demo $(if $(KEEP),--keep)

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: install
	$(BIN)/pytest -n auto tests/unit tests/local
	$(BIN)/pytest -n auto tests/simulation
	$(BIN)/pytest -m 'not slow' tests/system
	$(if $(filter $(NEWEST),$(PINS)),$(MAKE) docs)

coverage: install
	$(BIN)/pytest -n auto --cov --cov-report=term:skip-covered tests/unit tests/local

# HISTORIES, and FIRST for other seeds than the last time.
HISTORIES ?= 100000
FIRST ?= 0
soak: install
	$(BIN)/python -m tests.simulation --soak $(HISTORIES) --first $(FIRST)
	$(BIN)/python -m tests.simulation --exhaustive

# A warning is an error, and so is a reference that leads nowhere. It makes no call.
docs: $(VENV)-docs/.installed
	$(VENV)-docs/bin/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet --fresh-env \
		-d build/docs-doctrees docs build/docs

test-all: test-slow matrix release-check

# The matrix runs the rest of tests/compat in each row.
test-slow: install browser services $(VENV)-topology/.installed
	$(BIN)/pytest -m slow -n 2 --dist loadfile tests/system
	$(BIN)/pytest tests/compat/test_example_dags.py

# The built wheel in an environment of each row, with the pins of its file in constraints/.
matrix: install
	$(BIN)/python -m dev.matrix $(ROWS)

release-check: install
	$(BIN)/python -m dev.release

HAS_BROWSER := command -v chromium >/dev/null && command -v chromedriver >/dev/null

# For the tests in a browser, which use Debian's. Only root can install it.
browser:
	@$(HAS_BROWSER) || [ "$$(id -u)" != 0 ] \
		|| { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy chromium chromium-driver; }
	@$(HAS_BROWSER) || { echo 'chromium and chromedriver are missing (Debian: chromium, chromium-driver)'; exit 1; }

HAS_SERVICES := ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && command -v redis-server >/dev/null

# For the test of a distributed Airflow, which is skipped without them. Only root can install them.
services:
	@$(HAS_SERVICES) || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null \
		|| { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy postgresql redis-server; } \
		|| echo 'postgresql and redis-server could not be installed'

# By hand only: it takes an hour or two. An interrupted run continues; MUTANTS='airflow_healthomics.starting.*' tests a part.
mutation: install
	$(BIN)/uv pip install --system-certs --quiet --python $(BIN)/python --constraint constraints/$(PINS).txt --group mutation
	$(BIN)/python -m dev.mutation $(foreach pattern,$(MUTANTS),'$(pattern)')

screenshots: install browser
	SCREENSHOTS=docs/images $(BIN)/pytest -m slow -k 'form or picture' tests/system/test_run_page.py tests/system/test_run_page_states.py

bench: $(VENV)-bench/.installed
	$(BIN)/python -m benchmarks.waiting --peer-python $(VENV)-bench/bin/python $(BENCH)
	$(BIN)/python -m benchmarks.starting
	$(BIN)/python -m benchmarks.local
	$(if $(BEFORE),$(BIN)/python -m benchmarks.overhead $(BEFORE))
	$(if $(BEFORE),$(BIN)/python -m benchmarks.quotas $(BEFORE))

constraints: install
	$(foreach version,$(NEWEST_OF_EVERYTHING),$(call resolve,$(version),airflow-$(version),--group dev --extra testing --extra engine))
	$(call resolve,$(AIRFLOW),benchmark-peer,--group bench)
	$(call resolve,$(AIRFLOW),topology,--group topology)
	$(call resolve,$(AIRFLOW),docs,--group docs --extra testing)

# $(call resolve,Airflow version,file,what else). Names and versions only: no markers, hashes, comments or addresses.
define resolve
printf '%s\n' 'apache-airflow==$(1)' $(HOLD_$(1)) | $(BIN)/uv pip compile --system-certs --quiet --upgrade --python-version 3.11 \
	--no-header --no-annotate $(3) \
	pyproject.toml - --output-file constraints/$(2).txt

endef

# The oldest botocore that is supported.
OLDEST_BOTOCORE := $(shell sed -n 's/^botocore==//p' constraints/mwaa-2.11.0.txt)

api-model: install
	$(BIN)/uv pip install --system-certs --quiet --no-deps --target build/oldest-botocore botocore==$(OLDEST_BOTOCORE)
	$(BIN)/python -m dev.api_model build/oldest-botocore/botocore/data

clean:
	rm -rf .venv .venv-* .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist mutants
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
