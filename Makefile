.PHONY: check test docs bench

check:  ## style, types, and which room may import which
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test:
	python -m pytest -n 2

docs:  ## the site, in build/docs; a dead link, an unknown name or an unlisted page fails
	python -m sphinx -W --keep-going -q -j auto -d build/doctrees -b html docs build/docs

bench:  ## figures; each file can be run alone and says what it measures
	python benchmarks/packing.py
	python benchmarks/decode.py --quick
	python benchmarks/ask.py
	python benchmarks/evaluation.py
