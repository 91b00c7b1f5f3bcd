# Two commands matter: `make serve` and `make test`. Both install what they need first.
# EXTRA=gpu takes vLLM's CUDA build; ARGS reach the program: make serve ARGS="--http.port 9000"

EXTRA ?= cpu
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
export EXTRA VENV
# For `make load`: which server, and the key to it, which no command line ever shows.
HOST ?= $(or $(OPENAI_BASE_URL),http://127.0.0.1:8000)
ifdef KEY
export OPENAI_API_KEY := $(KEY)
endif

.PHONY: setup serve cluster-local test lint clean bench-compare load load-ui

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

LOCUST := $(BIN)/locust -f bench/locust/locustfile.py --host $(HOST)

load: setup
	@mkdir -p build/load
	@exec $(LOCUST) --headless --only-summary --stop-timeout 30 \
		$(if $(filter --rate% --trace%,$(ARGS)),,--users 16 --spawn-rate 4) \
		$(if $(filter --trace%,$(ARGS)),,--run-time 5m) \
		--html build/load/report.html --csv build/load/load $(ARGS)

load-ui: setup
	@exec $(LOCUST) --web-host 127.0.0.1 $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
