#!/usr/bin/env bash
# Sourced by demo.sh and test.sh: makes the virtual environment .venv and installs the project into it,
# or does nothing when it is there already and neither pyproject.toml nor constraints.txt has changed.
# usage: source scripts/environment.sh [EXTRA]

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "rayatari needs Python 3.11 or newer; name it with PYTHON=/path/to/python" >&2
    return 2
}

make_environment() {
    local extra="$1" python stamp
    stamp="$(cat pyproject.toml constraints.txt | cksum) $extra"
    if [ ! -f .venv/.installed ] || ! grep -qxF "$stamp" .venv/.installed; then
        python="$(find_python)" || return 2
        echo "Installing rayatari into $PWD/.venv (once; about 1.5 GB) ..."
        [ -x .venv/bin/python ] || "$python" -m venv .venv || return 2
        # torch by name and first: where a CPU build is at hand, an exact version is what finds it.
        .venv/bin/python -m pip install --quiet --disable-pip-version-check \
            "$(grep '^torch==' constraints.txt)" -c constraints.txt || return 2
        .venv/bin/python -m pip install --quiet --disable-pip-version-check \
            -c constraints.txt -e ".${extra:+[$extra]}" || return 2
        echo "$stamp" >> .venv/.installed
    fi
    export PATH="$PWD/.venv/bin:$PATH"
}

make_environment "${1:-}"
