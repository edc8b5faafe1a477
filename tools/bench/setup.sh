#!/usr/bin/env bash
# Install what the benchmark compares with, each package on its own: what fails is named and left out.
# Usage: tools/bench/setup.sh VENV
# Environment: PYTHON (default /usr/bin/python3).
set -euo pipefail
venv=$1
stamp=$venv/.installed
[ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || exit 0

[ -x "$venv/bin/python" ] || "${PYTHON:-/usr/bin/python3}" -m venv "$venv"
# The extra `bench` of pyproject.toml, torch first: the rest may then not choose another.
packages=$("$venv/bin/python" - <<'EOF'
import tomllib
with open("pyproject.toml", "rb") as file:
    packages = tomllib.load(file)["project"]["optional-dependencies"]["bench"]
print(*sorted(packages, key=lambda name: not name.startswith("torch")), sep="\n")
EOF
)
complete=1
for package in $packages; do
  echo "Installing $package"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$package" || {
    echo "$package cannot be installed: the benchmark goes on without it" >&2
    complete=0
  }
done
[ "$complete" = 0 ] || touch "$stamp"
