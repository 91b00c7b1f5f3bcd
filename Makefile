# Two commands matter: `make serve` and `make test`. Both install what they need first.
# EXTRA=gpu takes vLLM's CUDA build; ARGS reach the program: make serve ARGS="--http.port 9000"

EXTRA ?= cpu
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
export EXTRA VENV

.PHONY: setup serve cluster-local test lint clean bench-compare

setup:
	@.ci/setup

serve: setup
	@exec $(BIN)/python -m serve_app $(ARGS)

cluster-local: setup
	@exec $(BIN)/python -m serve_app.cluster_local $(ARGS)

test: lint
	@exec $(BIN)/python -m pytest $(ARGS)

lint: setup
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check . && $(BIN)/mypy --no-error-summary

bench-compare: setup
	@exec $(BIN)/python -m bench.compare $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
