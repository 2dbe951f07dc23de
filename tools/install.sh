#!/bin/sh
# Usage: install.sh VENV STAMP. Creates or renews VENV from requirements.lock, then touches STAMP.
# The stamp is written last and `.unfinished` stands in between, so that an installation which was
# interrupted is never taken for a finished one: the next run starts from an empty environment.
set -eu

venv=$1
stamp=$2

pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check "$@"
}

if [ -e "$venv/.unfinished" ] || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    python=$("$(dirname "$0")/find-python.sh")
    echo "Setting up $venv with $python: once, a few minutes."
    "$python" -m venv --clear "$venv"
else
    echo "Renewing $venv: requirements.lock or pyproject.toml has changed."
fi

rm -f "$venv"/.installed-*
touch "$venv/.unfinished"
pip install -qq --no-compile --no-deps --require-hashes -r requirements.lock
pip install -qq --no-deps --no-build-isolation -e .
rm "$venv/.unfinished"
touch "$stamp"
