# Two commands do everything on a fresh Debian 12 or 13: `make demo` and `make test`.
PYTHON = .venv/bin/python

.PHONY: demo test prepare clean

prepare:
	@packaging/prepare

demo: prepare
	@$(PYTHON) packaging/demo

test: prepare
	$(PYTHON) -m pytest

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
