#!/usr/bin/env bash
# Install those packages of requirements-debian.txt that this machine lacks.
set -euo pipefail
list=${1:?usage: install_debian_packages.sh LIST}
PATH=$PATH:/usr/sbin:/sbin

missing=()
while read -r package check; do
    [[ -z $package || $package == \#* ]] && continue
    bash -c "$check" >/dev/null 2>&1 </dev/null || missing+=("$package")
done <"$list"

if ((${#missing[@]} == 0)); then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "This machine has no apt-get. Install what corresponds to these Debian packages, then run again: ${missing[*]}" >&2
    exit 1
fi

for_somebody_else() {
    echo "This machine lacks Debian packages. Have somebody who may install them run: apt-get install ${missing[*]}" >&2
    exit 1
}

as_root=()
if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || for_somebody_else
    as_root=(sudo)
    # Without a terminal nobody can type a password.
    [[ -t 0 ]] || as_root=(sudo -n)
fi
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
echo "Installing Debian packages: ${missing[*]}"
if ! { "${install[@]}" update && "${install[@]}" install -y --no-install-recommends "${missing[@]}"; }; then
    for_somebody_else
fi
