#!/usr/bin/env bash
# Print the path of the first Python of the given versions that this machine has and that really runs (a pyenv shim may not).
# usage: find_python.sh 3.11 3.12 ...
set -euo pipefail
for version in "$@"; do
    for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python "/usr/bin/python$version"; do
        if path=$("$candidate" -c 'import ensurepip, sys, venv; print(sys.executable)' 2>/dev/null); then
            echo "$path"
            exit 0
        fi
    done
done
echo "No usable Python among: $*" >&2
exit 1
