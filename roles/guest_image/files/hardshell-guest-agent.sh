#!/usr/bin/env bash
# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Tells XAPI, through xenstore, which addresses this guest has, what it runs and how much memory it could give back. The keys are those of
# XAPI's ocaml/xapi/xapi_guest_agent.ml; paths are relative to the domain's own. Addresses are told when they change, all else once a minute.
set -u

readonly BUILD=hardshell-1
published=

# An address that is still tentative is told when it no longer is: that is a change, too.
addresses() {
    local node device interface
    for node in /sys/class/net/*/device/nodename; do
        { read -r device <"$node"; } 2>/dev/null || continue
        [[ $device == device/vif/* ]] || continue
        interface=${node#/sys/class/net/}
        ip -oneline address show dev "${interface%/device/nodename}" | awk -v vif="${device##*/}" '
            / tentative / { next }
            $3 == "inet" || $3 == "inet6" {
                family = $3 == "inet" ? "ipv4" : "ipv6"
                sub("/.*", "", $4)
                print "attr/vif/" vif "/" family "/" (count[family]++ + 0), $4
            }'
    done
}

# The toolstack takes memory from a running guest only when the guest says that it has a balloon driver.
system() {
    local version
    # shellcheck source=/dev/null
    . /etc/os-release
    read -r version </etc/debian_version
    echo "attr/PVAddons/Installed 1"
    echo "attr/PVAddons/MajorVersion 1"
    echo "attr/PVAddons/MinorVersion 0"
    echo "attr/PVAddons/MicroVersion 0"
    echo "attr/PVAddons/BuildVersion $BUILD"
    echo "data/os_name $PRETTY_NAME"
    echo "data/os_distro $ID"
    echo "data/os_uname $(uname -r)"
    echo "data/os_majorver ${VERSION_ID:-0}"
    [[ $version != *.* ]] || echo "data/os_minorver ${version#*.}"
    [[ ! -e /sys/devices/system/xen_memory/xen_memory0 ]] || echo "control/feature-balloon 1"
}

# In KiB.
memory() {
    awk '$1 == "MemTotal:" { print "data/meminfo_total", $2 } $1 == "MemAvailable:" { print "data/meminfo_free", $2 }' /proc/meminfo
}

# New values come before the old ones go, and XAPI looks when data/updated is written: it never sees a guest without addresses between two.
publish() {
    local wanted key value
    # A domain that was resumed or has moved may have a xenstore that knows nothing of this.
    [[ $(xenstore-read attr/PVAddons/BuildVersion 2>/dev/null) == "$BUILD" ]] || published=
    wanted=$(
        system
        addresses
        memory
    )
    [[ $wanted != "$published" ]] || return 0
    while read -r key value; do
        grep -qxF -- "$key $value" <<<"$published" || xenstore-write "$key" "$value" || return 1
    done <<<"$wanted"
    while read -r key _; do
        [[ -z $key ]] || grep -q -- "^$key " <<<"$wanted" || xenstore-rm "$key"
    done <<<"$published"
    xenstore-write data/updated "$(date -u +%Y%m%dT%H:%M:%SZ)" || return 1
    published=$wanted
}

# At first sooner than once a minute: what changed before the kernel's events were listened to is not told by one.
pause=1
exec 3< <(exec ip -oneline monitor address)
while true; do
    publish || published=
    pause=$((pause < 32 ? pause * 2 : 60))
    if read -r -t "$pause" -u 3 _; then
        while read -r -t 0.3 -u 3 _; do :; done
    elif (($? <= 128)); then
        echo "ip monitor has ended" >&2
        exit 1
    fi
done
