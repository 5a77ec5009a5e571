#!/usr/bin/env bash
# All checks and tests: under 10 minutes on 2 cores. Words given are passed to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh dev
ruff check .
ruff format --check .
mypy
OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
