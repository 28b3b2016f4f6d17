# make demo   install, train on handwritten digits, evaluate, index the held-out ones, say how to search
# make test   install, run every test
# make lint   style checks
# make test-milvus   run the index's tests against a real Milvus server, started for it
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs/demo

# jax for the GPU where one answers, with the CUDA that its driver supports.
DRIVER := $(shell nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1 | cut -d. -f1 | grep -E '^[0-9]+$$')
REQUIREMENTS := $(shell if [ -z "$(DRIVER)" ]; then echo requirements.txt; \
	elif [ "$(DRIVER)" -ge 580 ]; then echo requirements-cuda.txt; \
	else echo requirements-cuda12.txt; fi)

.PHONY: demo test test-milvus lint install clean

demo: install
	$(VENV)/bin/python main.py --config demo --workdir $(RUNS)
	$(VENV)/bin/python main.py --mode=eval --workdir $(RUNS) --seed=0
	rm -rf $(RUNS)/index $(RUNS)/digits
	$(VENV)/bin/python main.py --mode=download --config demo --output $(RUNS)/digits
	$(VENV)/bin/python main.py --mode=index --workdir $(RUNS) --images $(RUNS)/digits/test --index lance:$(RUNS)/index
	@echo "search them in a browser: $(VENV)/bin/python main.py --mode=serve --workdir $(RUNS) --index lance:$(RUNS)/index"

test: install
	$(VENV)/bin/python -m pip install --quiet -r requirements-dev.txt
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile -rs

# The server is not installed beside jax: it has wishes of its own for what both need.
test-milvus: install $(VENV)-milvus/.installed
	$(VENV)/bin/python -m pip install --quiet -r requirements-dev.txt -r requirements-milvus.txt
	$(VENV)/bin/python tests/with_milvus.py $(VENV)-milvus/bin/python \
		$(VENV)/bin/python -m pytest tests/index -k milvus

$(VENV)-milvus/.installed: tests/requirements-milvus-server.txt
	$(PYTHON) -m venv $(VENV)-milvus
	$(VENV)-milvus/bin/python -m pip install --quiet --no-deps -r $<
	@touch $@

lint: install
	$(VENV)/bin/python -m pip install --quiet -r requirements-dev.txt
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-cuda.txt requirements-cuda12.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 12) else "simsearch needs Python 3.11 or 3.12, and $(PYTHON) is %d.%d; name another with make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet -r $(REQUIREMENTS)
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-milvus
