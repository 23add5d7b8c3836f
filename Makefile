# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
#
# `make demo` and `make test` need nothing but Python 3.11 or newer; they set up .venv themselves.

PYTHON ?= python3
AIRFLOW := 3.3.2
OTHER_AIRFLOWS := 2.11.2 3.0.6
VENV := .venv
BIN := $(VENV)/bin

# Airflow 3.0 breaks with newer releases of these, which its own metadata admits.
PINS_3.0.6 := 'fastapi==0.116.*' 'starlette<0.48' 'cadwyn<5.5'

.DEFAULT_GOAL := help
.PHONY: help install demo lint test test-all test-slow browser services screenshots bench clean constraints

help:
	@echo 'make install      set up $(VENV) (does nothing when it is up to date)'
	@echo 'make demo         a run from a DAG to its result, in a real Airflow; KEEP=1 leaves it running'
	@echo 'make test         unit tests, the local HealthOmics, and a smoke test in a real Airflow'
	@echo 'make test-all     adds the slow tests and the other Airflow versions: $(OTHER_AIRFLOWS);'
	@echo '                  for root, installs chromium, PostgreSQL and Redis by apt if they are missing'
	@echo 'make bench        what waiting costs, beside the pattern of the amazon provider; half an hour'
	@echo 'make screenshots  take docs/images anew'
	@echo 'make lint         ruff (format and lint) and mypy'
	@echo 'make constraints  resolve constraints/ anew'
	@echo 'make clean        remove every environment and cache'

install: $(VENV)/.installed

# $(call environment,directory,Airflow version): uv comes by pip, everything else by uv.
define environment
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints/airflow-$(2).txt uv
	$(1)/bin/uv pip install --system-certs --quiet --python $(1)/bin/python --constraint constraints/airflow-$(2).txt \
		--group dev --editable '.[testing]' 'apache-airflow==$(2)'
	touch $(1)/.installed
endef

$(VENV)/.installed: pyproject.toml constraints/airflow-$(AIRFLOW).txt
	$(call environment,$(VENV),$(AIRFLOW))

$(VENV)-%/.installed: pyproject.toml constraints/airflow-%.txt
	$(call environment,$(VENV)-$*,$*)

# The other side of the benchmark: aiobotocore pins an older botocore. Its Python draws the plot too.
$(VENV)-bench/.installed: $(VENV)/.installed constraints/benchmark-peer.txt
	$(PYTHON) -m venv --clear $(VENV)-bench
	$(BIN)/uv pip install --system-certs --quiet --python $(VENV)-bench/bin/python --constraint constraints/benchmark-peer.txt \
		--group bench --editable . 'apache-airflow==$(AIRFLOW)'
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
	$(BIN)/pytest -n auto --cov --cov-report=term:skip-covered tests/unit tests/local
	$(BIN)/pytest -m 'not slow' tests/system

test-all: test-slow $(OTHER_AIRFLOWS:%=test-airflow-%)

test-slow: install browser services $(VENV)-topology/.installed
	$(BIN)/pytest -m slow tests/system
	$(BIN)/pytest tests/compat

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

screenshots: install browser
	SCREENSHOTS=docs/images $(BIN)/pytest -m slow tests/system/test_run_page.py

# The unit tests and one `airflow dags test` of the example, beside another Airflow.
test-airflow-%: $(VENV)-%/.installed
	$(VENV)-$*/bin/pytest -n auto tests/unit
	$(VENV)-$*/bin/pytest tests/compat

bench: $(VENV)-bench/.installed
	$(BIN)/python -m benchmarks.waiting --peer-python $(VENV)-bench/bin/python $(BENCH)

constraints: install
	$(foreach version,$(AIRFLOW) $(OTHER_AIRFLOWS),$(call resolve,$(version),airflow-$(version),--group dev --extra testing))
	$(call resolve,$(AIRFLOW),benchmark-peer,--group bench)
	$(call resolve,$(AIRFLOW),topology,--group topology)

# $(call resolve,Airflow version,file,what else). Names and versions only: no markers, hashes, comments or addresses.
define resolve
printf '%s\n' 'apache-airflow==$(1)' $(PINS_$(1)) | $(BIN)/uv pip compile --system-certs --quiet --upgrade --python-version 3.11 \
	--no-header --no-annotate $(3) \
	pyproject.toml - --output-file constraints/$(2).txt

endef

clean:
	rm -rf .venv .venv-* .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
