.PHONY: check test bench

check:  ## style, types, and which room may import which
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test:
	python -m pytest -n 2

bench:  ## figures; each file can be run alone and says what it measures
	python benchmarks/packing.py
	python benchmarks/decode.py --quick
	python benchmarks/ask.py
	python benchmarks/tiny_accuracy.py
