#!/usr/bin/env bash
# Install the tool that makes mutants: the extra `mutants` of pyproject.toml, in an environment of its own.
# Usage: tools/mutants/setup.sh VENV
# Environment: PYTHON (default /usr/bin/python3), 3.11 or newer.
set -euo pipefail
venv=$1
stamp=$venv/.installed
[ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || exit 0
[ -x "$venv/bin/python" ] || "${PYTHON:-/usr/bin/python3}" -m venv "$venv"
"$venv/bin/python" - <<'PYTHON' | xargs "$venv/bin/python" -m pip install --quiet --disable-pip-version-check
import tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["project"]["optional-dependencies"]["mutants"], sep="\n")
PYTHON
touch "$stamp"
