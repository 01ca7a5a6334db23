#!/usr/bin/env bash
# Lets an ordinary user's QEMU listen on the standard ports (22, 80, ...) of the lab VMs' loopback addresses.
set -euo pipefail

setting=net.ipv4.ip_unprivileged_port_start
first=$(cat "/proc/sys/${setting//.//}")
if [[ $(id -u) -eq 0 || $first -le 22 ]]; then
  exit 0
fi
change="sysctl $setting=22"
if ! command -v sudo >/dev/null; then
  echo "The lab's VMs answer on port 22 of loopback addresses, which this user may not open. Have root run: $change" >&2
  exit 1
fi
echo "The lab's VMs answer on port 22 of loopback addresses: sudo $change (until the next boot; now $first)"
as_root=(sudo)
# Without a terminal nobody can type a password.
[[ -t 0 ]] || as_root=(sudo -n)
if ! "${as_root[@]}" sysctl --quiet --write "$setting=22"; then
  echo "This user may not do that. Have root run: $change" >&2
  exit 1
fi
