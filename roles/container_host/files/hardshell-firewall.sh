#!/bin/sh
# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Who may reach the ports that containers publish.
#
#     hardshell-firewall.sh apply RULES | clear
#
# RULES is a file of lines SOURCE PROTOCOL PORTS, as in "192.0.2.0/24 tcp 8000:8010"; "any any" stands for all ports. What no line names is dropped. Only new
# connections that the engine leads to a container are looked at, by the port that was asked for: nothing else of the guest is touched, and its own processes
# reach everything. The rules are in a chain of their own, called from FORWARD of the table mangle. The engine never touches that one, however it makes its own
# rules and whenever it starts, and what is dropped there no later rule brings back.
set -eu
PATH=$PATH:/usr/sbin:/sbin
CHAIN=HARDSHELL-PUBLISHED

# The rules of family $1 (4 or 6), from file $2.
table() {
    printf '*mangle\n:%s - [0:0]\n' "$CHAIN"
    printf -- '-A %s -m conntrack ! --ctstate NEW -j RETURN\n' "$CHAIN"
    printf -- '-A %s -m conntrack ! --ctstate DNAT -j RETURN\n' "$CHAIN"
    while read -r source protocol ports; do
        case $source in
            *:*) family=6 ;;
            *) family=4 ;;
        esac
        if [ -z "$source" ] || [ "$family" != "$1" ]; then continue; fi
        case $protocol in
            any) printf -- '-A %s -s %s -j RETURN\n' "$CHAIN" "$source" ;;
            *) printf -- '-A %s -s %s -p %s -m conntrack --ctorigdstport %s -j RETURN\n' "$CHAIN" "$source" "$protocol" "$ports" ;;
        esac
    done <"$2"
    printf -- '-A %s -j DROP\nCOMMIT\n' "$CHAIN"
}

# The commands of the families that the guest has: "4 iptables" and "6 ip6tables".
families() {
    echo 4 iptables
    [ ! -e /proc/sys/net/ipv6 ] || echo 6 ip6tables
}

command -v iptables-restore >/dev/null || { echo "iptables is not installed: the published ports of containers are open to everybody" >&2; exit 1; }
families | while read -r family iptables; do
    if [ "$1" = clear ]; then
        while "$iptables" -w -t mangle -D FORWARD -j "$CHAIN" 2>/dev/null; do :; done
        "$iptables" -w -t mangle -F "$CHAIN" 2>/dev/null || true
        "$iptables" -w -t mangle -X "$CHAIN" 2>/dev/null || true
    else
        # In one go, so that the guest is never without its rules.
        table "$family" "$2" | "$iptables-restore" --wait --noflush
        "$iptables" -w -t mangle -C FORWARD -j "$CHAIN" 2>/dev/null || "$iptables" -w -t mangle -I FORWARD 1 -j "$CHAIN"
    fi
done
