#!/usr/bin/env bash
# Everything that only a GPU can show, within eight minutes: parts in order of value, each in a process
# of its own with a time limit. Results are written to $OUT as they come (results.jsonl, table.md); a
# second call with the same $OUT goes on with the parts that are missing.
#
#   OUT=results bash benchmarks/gpu.sh               all parts on the first GPU
#   OUT=results bash benchmarks/gpu.sh --parts training,tiny
#   OUT=results bash benchmarks/gpu.sh --rehearse    all parts on the CPU with small shapes
#
# WHEELS=DIR installs the wheels in DIR first, beside the packages that are there, without a network.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
export OUT="${OUT:-gpu-results}"
mkdir -p "$OUT" || exit 2
OUT=$(cd "$OUT" && pwd)
python=${PYTHON:-python3}
if [ -n "${WHEELS:-}" ]; then
  site="${TMPDIR:-/tmp}/llava-video-wheels"
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$site" "$WHEELS"/*.whl || echo "the wheels in $WHEELS could not be installed; going on without them"
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="$PWD/src:$PWD/benchmarks:$PWD${PYTHONPATH:+:$PYTHONPATH}"
export HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
exec "$python" -m gpu.run "$@"
