#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
#
# Puts the clients that the lab is tested with into a cache: xen-api from npm, and the ansible package in a virtual
# environment of its own. Does nothing when they are there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hardshell.xen

install_npm() {
    local folder=$cache/npm
    cmp -s "$here/package.json" "$folder/package.json" && [ -e "$folder/.ready" ] && return
    command -v npm >/dev/null || { echo "npm is missing; the tests with xen-api will be skipped" >&2; return; }
    echo "Installing xen-api into $folder"
    mkdir -p "$folder"
    rm -f "$folder/.ready"
    cp "$here/package.json" "$folder/package.json"
    npm install --prefix "$folder" --silent --no-audit --no-fund
    touch "$folder/.ready"
}

install_ansible() {
    local folder=$cache/community
    cmp -s "$here/requirements.txt" "$folder/requirements.txt" && return
    echo "Installing the ansible package into $folder"
    mkdir -p "$folder"
    "${PYTHON:-python3}" -m venv --clear "$folder/venv"
    "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$folder/requirements.txt"
}

install_npm
install_ansible
