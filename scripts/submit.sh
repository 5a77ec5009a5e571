#!/usr/bin/env bash
# Runs a rayatari command as a job on a Ray cluster, follows its output and returns its exit code:
#   bash scripts/submit.sh --address http://head:8265 record steps=100000 runs=/shared/runs
# Without --address: the cluster that 'ray start --head' made on this machine. Ctrl-C stops the job.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -x .venv/bin/python ]; then PATH="$PWD/.venv/bin:$PATH"; fi
exec python -m rayatari.jobs "$@"
