#!/bin/sh
# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The certificates of one tenant's engines, on the controller, by openssl: an authority, the client's certificate and the one of each engine.
#
#     hardshell-tls.sh MODE FOLDER ENGINE NAMES DAYS RENEW_DAYS <REQUEST
#
# MODE is check or apply. FOLDER holds ca.pem, ca-key.pem, cert.pem and key.pem (the client's), and ENGINE.pem. NAMES are those that the engine is reached by, as
# in IP:192.0.2.7,DNS:shop.example. REQUEST is the engine's certificate request (PEM): its key stays where it is.
# A certificate is made anew when it is not there, when fewer than RENEW_DAYS of its DAYS are left, when it is not of this authority, or is for another key or
# other names. So a new authority comes by moving ca.pem and ca-key.pem away. Prints "changed" or "same".
set -eu

mode=$1 folder=$2 engine=$3 names=$4 days=$5 renew_days=$6
result=same
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Whether certificate $1 is of the authority and will be for a while.
good() {
    openssl verify -CAfile "$folder/ca.pem" "$1" >/dev/null 2>&1 &&
        openssl x509 -in "$1" -noout -checkend $((renew_days * 86400)) >/dev/null 2>&1
}

# Sign request $1 into $2, with the extensions $3.
sign() {
    printf '%s\nbasicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' "$3" >"$work/extensions"
    openssl x509 -req -in "$1" -CA "$folder/ca.pem" -CAkey "$folder/ca-key.pem" -set_serial "0x$(openssl rand -hex 16)" \
        -days "$days" -sha256 -extfile "$work/extensions" -out "$work/certificate" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
    mv "$work/certificate" "$2"
}

# Ask for what follows, or only note that it would be done.
changes() {
    result=changed
    [ "$mode" = apply ]
}

# A configuration of its own: the system's may add what is not wanted.
cat >"$work/config" <<'CONFIG'
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
CONFIG

cat >"$work/request"
if [ ! -s "$folder/ca.pem" ] || [ ! -s "$folder/ca-key.pem" ]; then
    if changes; then
        mkdir -p "$folder"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config "$work/config" -extensions authority \
            -subj "/CN=$(basename "$folder") engines" -days 3650 -keyout "$work/ca-key.pem" -out "$work/ca.pem" 2>/dev/null
        mv "$work/ca-key.pem" "$folder/ca-key.pem"
        mv "$work/ca.pem" "$folder/ca.pem"
    fi
fi
if ! good "$folder/cert.pem" || [ ! -s "$folder/key.pem" ]; then
    if changes; then
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config "$work/config" -subj /CN=client \
            -keyout "$work/key.pem" -out "$work/client" 2>/dev/null
        sign "$work/client" "$folder/cert.pem" 'extendedKeyUsage=clientAuth'
        mv "$work/key.pem" "$folder/key.pem"
    fi
fi
if ! good "$folder/$engine.pem" || [ "$(cat "$folder/$engine.names" 2>/dev/null)" != "$names" ] ||
    [ "$(openssl x509 -in "$folder/$engine.pem" -noout -pubkey)" != "$(openssl req -in "$work/request" -noout -pubkey 2>/dev/null)" ]; then
    if changes; then
        sign "$work/request" "$folder/$engine.pem" "extendedKeyUsage=serverAuth
subjectAltName=$names"
        printf '%s\n' "$names" >"$folder/$engine.names"
    fi
fi
echo "$result"
