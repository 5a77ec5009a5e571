#!/usr/bin/env bash
# From a fresh clone to a neural Breakout and its report: 12 to 21 minutes on 2 cores after the downloads.
# Run again, it goes on where it stopped; finished stages are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh ""
rayatari --config configs/smoke.yaml pipeline "$@"
echo "(in this folder, after: source .venv/bin/activate)"
