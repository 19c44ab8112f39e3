#!/usr/bin/env bash
# The whole data engine offline: make videos with known truth, annotate them, look at the result.
set -euo pipefail
folder=${1:-annotate-example}
llava-video toyworld make --num-videos 8 --out "$folder/videos"
llava-video annotate plan "$folder/videos" --model toy
llava-video annotate run "$folder/videos" --model toy --out "$folder/run"
llava-video annotate status "$folder/run"
llava-video annotate report "$folder/run"
llava-video annotate export "$folder/run" --format parquet
echo "now try: llava-video annotate review $folder/run"
