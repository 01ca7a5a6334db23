#!/usr/bin/env bash
# Unit tests, ansible-test sanity and integration tests under the newer supported Pythons (and the ansible-core that they bring).
set -euo pipefail
cd "$(dirname "$0")/../.."
ran=0
for version in 3.12 3.13; do
    if ! python=$(tests/tools/find_python.sh "$version" 2>/dev/null); then
        echo "skipped: Python $version is not on this machine"
        continue
    fi
    echo "===== Python $version"
    make --no-print-directory VENV="$PWD/.tools/python$version" PYTHON="$python" versions unit sanity integration
    ran=$((ran + 1))
done
if ((ran == 0)); then
    echo "Nothing ran: neither Python 3.12 nor 3.13 was found." >&2
    exit 1
fi
