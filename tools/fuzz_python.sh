#!/usr/bin/env bash
# Fuzz the Python readers: change intact files of drml at random and read them, until the time is up. Fails if a reader does
# anything other than read such a file or refuse it with one line. The files that fail are kept in build/fuzz/python.
# Usage: tools/fuzz_python.sh SECONDS [--only READER] [--examples N]
# Environment: VENV (default .venv), BUILD_DIR (default build).
set -euo pipefail
seconds=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)
# The image libraries print messages about damaged files to standard error; these are filtered out.
exec "${VENV:-$root/.venv}/bin/python" "$root/tests/python/hostile_files.py" --seconds "$seconds" \
  --out "${BUILD_DIR:-$root/build}/fuzz/python" "$@" 2> >(grep -vE '^(libpng|Corrupt JPEG|Invalid SOS|Premature end|\[ WARN)' >&2)
