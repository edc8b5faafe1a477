#!/usr/bin/env bash
# Renew requirements.lock with the newest releases that pyproject.toml allows, and the SHA-256 of each of their files.
# Usage: tools/lock.sh VENV WORK_DIR
# VENV must run CPython 3.11 on x86_64 Linux: tools/setup.sh uses the file only there.
set -euo pipefail
venv=$1
work=$2
"$venv/bin/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
  echo "$venv does not have Python 3.11, which requirements.lock is for: make PYTHON=/usr/bin/python3.11 lock" >&2
  exit 1
}
[ -x "$work/bin/pip-compile" ] || {
  "$venv/bin/python" -m venv "$work"
  "$work/bin/python" -m pip install --quiet --disable-pip-version-check 'pip-tools>=7.4,<8'
}
# The options keep the names of this machine's package servers and folders out of the file.
CUSTOM_COMPILE_COMMAND="make lock" "$work/bin/pip-compile" --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
  --extra dev --all-build-deps --output-file "$work/requirements.lock" pyproject.toml
if grep -nE '://|^-' "$work/requirements.lock"; then
  echo "$work/requirements.lock names servers or options (see above); requirements.lock was not changed" >&2
  exit 1
fi
mv "$work/requirements.lock" requirements.lock
