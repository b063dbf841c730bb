# On a fresh Debian 12 or 13: `make demo` shows the main job, `make test` tests what needs no virtual machine, `make test-vm` the rest.
PYTHON = .venv/bin/python

.PHONY: boards demo test test-browser test-vm test-vm-long test-vm-broken test-board vm-shell bench bench-vm docs deb prepare clean

demo: prepare
	@$(PYTHON) packaging/demo

test: prepare
	$(PYTHON) -m pytest
	@echo "Not run here: the map's page in a real browser (make test-browser, installs Chromium), and real kernels (make test-vm)."

# The map's page in Debian's Chromium, which this installs; MEMD_PICTURES=DIRECTORY keeps the screenshots.
test-browser: prepare
	packaging/prepare-browser
	MEMD_BROWSER=required $(PYTHON) -m pytest tests/browser

# Real kernels in QEMU; docs/testing-vm.md. Needs nothing of .venv.
test-vm:
	python3 tests/vm/run.py test

test-vm-long:
	python3 tests/vm/run.py long

# Three memds that are broken on purpose: red for each of them is what it wants to see.
test-vm-broken:
	python3 tests/vm/run.py broken

vm-shell:
	python3 tests/vm/run.py shell $(or $(ARCH),x86_64)

test-board:
	@test -n "$(HOST)" || { echo "say which board: make test-board HOST=root@board" >&2; exit 2; }
	python3 tests/vm/run.py board $(HOST)

# Ratios, measured side by side in one run; needs root and a free zram device.
bench: prepare
	@$(PYTHON) -m tests.bench
	@$(PYTHON) tests/bench/swapstart.py
	@$(PYTHON) -m tests.bench.hostile

# The pages that are made from the code's own tables.
docs: prepare
	@$(PYTHON) packaging/reference.py

# docs/boards.md anew: every device tree of Debian's newest arm64 kernel is read, held against dtc, and checked. Two minutes.
boards: prepare
	@$(PYTHON) tests/vm/boards.py

# memd on real heaps in a virtual machine, beside its peers from Debian's packages. Needs libsystemd-dev.
bench-vm:
	python3 tests/vm/run.py bench

deb:
	packaging/build-deb $(or $(OUT),packaging/out)

prepare:
	@packaging/prepare

clean:
	rm -rf .venv build dist *.egg-info packaging/out .pytest_cache .mypy_cache .ruff_cache .hypothesis
