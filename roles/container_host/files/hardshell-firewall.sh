#!/bin/sh
# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Who may reach the ports that containers publish.
#
#     hardshell-firewall.sh apply RULES | check RULES | clear
#
# RULES is a file of lines SOURCE PROTOCOL PORTS, as in "192.0.2.0/24 tcp 8000:8010"; "any any" stands for all ports. What no line names is dropped. Only new
# connections that the engine leads to a container are looked at, by the port that was asked for: nothing else of the guest is touched, and its own processes
# reach everything. "check" tells by its exit status whether the rules are in place: somebody may have flushed them.
#
# With iptables the rules are in a chain of their own, called from FORWARD of the table mangle; with nft alone, in a table of their own at the same place. The
# engine never touches either, however it makes its own rules and whenever it starts, and what is dropped there no later rule brings back.
set -eu
PATH=$PATH:/usr/sbin:/sbin
CHAIN=HARDSHELL-PUBLISHED
TABLE=hardshell_published

# The rules of family $1 (4 or 6), from file $2, as iptables has them.
rules() {
    echo "-m conntrack ! --ctstate NEW -j RETURN"
    echo "-m conntrack ! --ctstate DNAT -j RETURN"
    while read -r source protocol ports; do
        case $source in
            *:*) family=6 ;;
            *) family=4 ;;
        esac
        if [ -z "$source" ] || [ "$family" != "$1" ]; then continue; fi
        case $protocol in
            any) echo "-s $source -j RETURN" ;;
            *) echo "-s $source -p $protocol -m conntrack --ctorigdstport $ports -j RETURN" ;;
        esac
    done <"$2"
    echo "-j DROP"
}

# The commands of the families that the guest has: "4 iptables" and "6 ip6tables".
families() {
    echo 4 iptables
    [ ! -e /proc/sys/net/ipv6 ] || echo 6 ip6tables
}

# In one go, so that the guest is never without its rules.
iptables_apply() {
    families | while read -r family iptables; do
        { printf '*mangle\n:%s - [0:0]\n' "$CHAIN"; rules "$family" "$1" | sed "s/^/-A $CHAIN /"; echo COMMIT; } | "$iptables-restore" --wait --noflush
        "$iptables" -w -t mangle -C FORWARD -j "$CHAIN" 2>/dev/null || "$iptables" -w -t mangle -I FORWARD 1 -j "$CHAIN"
    done
}

# Every rule is there, none besides, and the chain is called.
iptables_check() {
    families | while read -r family iptables; do
        "$iptables" -w -t mangle -C FORWARD -j "$CHAIN" 2>/dev/null || exit 1
        [ "$("$iptables" -w -t mangle -S "$CHAIN" | grep -c '^-A')" = "$(rules "$family" "$1" | wc -l)" ] || exit 1
        rules "$family" "$1" | while read -r rule; do
            # shellcheck disable=SC2086 # a rule is several words
            "$iptables" -w -t mangle -C "$CHAIN" $rule 2>/dev/null </dev/null || exit 1
        done || exit 1
    done
}

iptables_clear() {
    families | while read -r _family iptables; do
        while "$iptables" -w -t mangle -D FORWARD -j "$CHAIN" 2>/dev/null; do :; done
        "$iptables" -w -t mangle -F "$CHAIN" 2>/dev/null || true
        "$iptables" -w -t mangle -X "$CHAIN" 2>/dev/null || true
    done
}

# The table for nft, from file $1. The comment at its end tells which rules these are, and how many.
nft_table() {
    echo "table inet $TABLE {"
    echo "chain forward { type filter hook forward priority mangle; policy accept; ct state new ct status dnat jump published; }"
    echo "chain published {"
    while read -r source protocol ports; do
        case $source in
            *:*) family=ip6 ;;
            *) family=ip ;;
        esac
        if [ -z "$source" ]; then continue; fi
        case $protocol in
            any) echo "$family saddr $source accept" ;;
            *) echo "$family saddr $source meta l4proto $protocol ct original proto-dst $(echo "$ports" | tr : -) accept" ;;
        esac
    done <"$1"
    echo "drop comment \"$(nft_mark "$1")\""
    echo "}"
    echo "}"
}

nft_mark() {
    cksum <"$1"
}

nft_apply() {
    { echo "table inet $TABLE"; echo "delete table inet $TABLE"; nft_table "$1"; } | nft -f -
}

nft_check() {
    found=$(nft list table inet "$TABLE" 2>/dev/null) || return 1
    case $found in
        *"hook forward priority mangle"*"jump published"*"$(nft_mark "$1")"*) ;;
        *) return 1 ;;
    esac
    [ "$(echo "$found" | grep -c ' accept$')" = "$(nft_table "$1" | grep -c ' accept$')" ]
}

nft_clear() {
    nft delete table inet "$TABLE" 2>/dev/null || true
}

has() {
    command -v "$1" >/dev/null
}

case $1 in
    clear)
        ! has iptables || iptables_clear
        ! has nft || nft_clear
        ;;
    apply | check)
        if has iptables-restore; then
            "iptables_$1" "$2"
        elif has nft; then
            "nft_$1" "$2"
        else
            echo "neither iptables nor nft is installed: the published ports of containers are open to everybody" >&2
            exit 1
        fi
        ;;
esac
