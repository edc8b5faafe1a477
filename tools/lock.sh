#!/usr/bin/env bash
# Renew requirements.lock: for every Python version that pyproject.toml allows, the newest releases within its bounds, and
# the SHA-256 of each of their files.
# Usage: tools/lock.sh VENV WORK_DIR [UPGRADE]
# UPGRADE=0 keeps the releases that the file pins already, and only adds what a change in pyproject.toml asks for.
# uv resolves for all versions and processors at once; pip-tools only resolves for the Python on which it runs.
set -euo pipefail
venv=$1
work=$2
upgrade=${3:-1}
[ -x "$work/bin/uv" ] || {
  "$venv/bin/python" -m venv "$work"
  "$work/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
}
"$venv/bin/python" - >"$work/build-system.in" <<'PYTHON' || {
try:
    import tomllib
except ImportError:
    raise SystemExit(1)
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["build-system"]["requires"], sep="\n")
PYTHON
  echo "tools/lock.sh reads pyproject.toml with Python 3.11 or newer, and $venv has an older one" >&2
  exit 1
}
cp requirements.lock "$work/requirements.lock"
options=(--universal --python-version 3.10 --generate-hashes --custom-compile-command "make lock")
[ "$upgrade" = 0 ] || options+=(--upgrade)
"$work/bin/uv" pip compile --quiet "${options[@]}" --extra dev --output-file "$work/requirements.lock" pyproject.toml \
  "$work/build-system.in" >/dev/null
sed -i "s|-r $work/build-system.in|drml (pyproject.toml, build-system)|" "$work/requirements.lock"
if grep -nE '://|^-' "$work/requirements.lock"; then
  echo "$work/requirements.lock names servers or options (see above); requirements.lock was not changed" >&2
  exit 1
fi
mv "$work/requirements.lock" requirements.lock
