# make run   plan and carry out one request with the default model, on a copy of the sample home
# make test  formatting, lint, types and all tests
# Each sets up all it needs in .venv first; PYTHON and VENV may be given.

PYTHON ?= python3
VENV   ?= .venv
QUERY  ?= Summarize budget-2027.pdf, mail the summary to Thandiwe and Maya Okafor, and remind me on Monday at 10 to call Kenji

bin      := $(VENV)/bin
folders  := plait tools tools/assistant models retrieval planners training orchestrator apps apps/assistant apps/evaluation apps/voice apps/web
sources  := $(sort $(foreach folder,$(folders),$(wildcard $(folder)/*.py)) $(wildcard apps/web/page/* models/adapters/*))
checked  := $(folders) tests benchmarks examples

.PHONY: run test format clean
.DELETE_ON_ERROR:

run: $(VENV)/.installed
	rm -rf build/home && mkdir -p build && cp -R examples/home build/home
	$(bin)/plait run "$(QUERY)" --home build/home --yes

test: $(VENV)/.installed-dev
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	cd $(VENV) && bin/mypy --config-file ../pyproject.toml -p plait
	$(bin)/plait models pull smollm2-135m
	$(bin)/plait models pull all-minilm-l6-v2
	$(bin)/plait eval fetch
	$(bin)/plait voice --fetch
	$(bin)/python -m pytest

format: $(VENV)/.installed-dev
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# A strict editable install links single files, so it is made again whenever one is added or removed.
$(VENV)/.installed: pyproject.toml $(VENV)/.sources
	@echo "installing plait; the first time llama-cpp-python is compiled, which takes up to ten minutes"
	@$(bin)/python -m pip install -qq --config-settings editable_mode=strict --editable ".[all]"
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.sources
	@echo "installing plait; the first time llama-cpp-python is compiled, which takes up to ten minutes"
	@$(bin)/python -m pip install -qq --config-settings editable_mode=strict --editable ".[all,train,voice,dev]"
	touch $@ $(VENV)/.installed

$(VENV)/.sources: $(VENV)/.created FORCE
	@echo '$(sources)' | cmp -s - $@ || echo '$(sources)' > $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "plait needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(bin)/python -m pip install -qq --upgrade pip
	@touch $@

.PHONY: FORCE
FORCE:
