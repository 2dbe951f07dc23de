#!/bin/sh
# Prints the path of a Python >= 3.12 interpreter, or says what to install and exits 1.
# A name on the PATH proves nothing (version managers put stubs there), so each candidate is run.
set -u

usable() {
    "$1" -c 'import sys, venv, ensurepip; print(sys.executable); sys.exit(sys.version_info < (3, 12))' 2>/dev/null
}

try() {
    [ -n "${1:-}" ] && found=$(usable "$1") && [ -n "$found" ] && printf '%s\n' "$found" && exit 0
}

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON"
    echo "PYTHON=$PYTHON is not a Python >= 3.12 with venv." >&2
    exit 1
fi

for name in python3.12 python3.13 python3.14 python3 python; do
    try "$name"
done

if command -v pyenv >/dev/null 2>&1; then
    for prefix in "$(pyenv root)"/versions/3.1[2-9]*; do
        try "$prefix/bin/python"
    done
fi

if command -v uv >/dev/null 2>&1; then
    try "$(uv python find --no-project '>=3.12' 2>/dev/null)"
fi

cat >&2 <<'MESSAGE'
flowcast needs Python 3.12 or newer with the venv module, and none was found.
Install one (python.org, your system's packages, pyenv or uv), or name it:  make PYTHON=/path/to/python demo
MESSAGE
exit 1
