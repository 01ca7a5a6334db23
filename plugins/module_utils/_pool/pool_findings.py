# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What is not as it should be in a pool that holds tenants: one finding a line, with what to do. Pure."""

from __future__ import annotations

import datetime
import typing as t

from .times import parse_time

Facts = t.Mapping[str, t.Any]
Finding = dict[str, t.Any]

# XSA-489: XCP-ng's package xapi-core 26.1.4-3 of 12 May 2026 has the fixes, 26.1.4-1 and -2 do not.
XSA_489_BUILD = (26, 1, 4)
XSA_489_DATE = datetime.datetime(2026, 5, 12, tzinfo=datetime.UTC)
EXPIRY_WARNING = datetime.timedelta(days=30)


def pool_findings(facts: Facts, now: datetime.datetime) -> list[Finding]:
    """The findings about a pool's facts, the gravest first."""
    pool, hosts = facts["pool"], facts["hosts"]
    found = [finding for host in hosts for finding in _of_host(host)]
    if not pool["tls_verification"]:
        found.append(
            _finding(
                "tls-verification",
                "high",
                pool["name"] or "pool",
                "the hosts do not verify each other's certificates",
                "run xe pool-enable-tls-verification",
            )
        )
    builds = sorted({str(host["versions"]["xapi"]) for host in hosts})
    if len(builds) > 1:
        found.append(
            _finding(
                "mixed-builds",
                "medium",
                pool["name"] or "pool",
                f"the hosts run different builds of XAPI: {', '.join(builds)}",
                "finish the update on every host",
            )
        )
    found += [finding for certificate in facts["certificates"] for finding in _of_certificate(certificate, now)]
    return sorted(found, key=lambda finding: (_SEVERITIES.index(finding["severity"]), finding["id"], finding["where"]))


_SEVERITIES = ("high", "medium", "low")


def _of_host(host: Facts) -> t.Iterator[Finding]:
    yield from _xsa_489(host)
    if host["ssl_legacy"]:
        yield _finding(
            "legacy-tls", "high", host["name"], "it accepts old versions of TLS", "run xe pool-disable-ssl-legacy"
        )
    if host["https_only"] is False:
        yield _finding(
            "plain-http",
            "medium",
            host["name"],
            "XAPI answers on port 80 too, where passwords travel in clear",
            "run xe host-param-set https-only=true, or close the port",
        )
    if host["pending_guidances"]:
        yield _finding(
            "pending-update",
            "medium",
            host["name"],
            f"installed updates do not take effect yet: {', '.join(host['pending_guidances'])}",
            "follow the guidance on this host",
        )


def _xsa_489(host: Facts) -> t.Iterator[Finding]:
    """A VM administrator could reach the control domain, so that roles were no boundary between tenants."""
    build = _build(host["versions"]["xapi"])
    built = parse_time(host["versions"]["date"])
    mend = "update the hosts, and give no tenant an account in the pool"
    if build is None or build < XSA_489_BUILD:
        told = host["versions"]["xapi"] or "unknown"
        yield _finding(
            "XSA-489", "high", host["name"], f"XAPI {told} lets a VM administrator reach the control domain", mend
        )
    elif build == XSA_489_BUILD and (built is None or built < XSA_489_DATE):
        what = "XAPI 26.1.4 lets a VM administrator reach the control domain before package release 3, and its date does not show it"
        yield _finding(
            "XSA-489", "medium", host["name"], what, "see that rpm -q xapi-core tells 26.1.4-3 or later; " + mend
        )


def _of_certificate(certificate: Facts, now: datetime.datetime) -> t.Iterator[Finding]:
    ends = parse_time(certificate["not_after"])
    if ends is None or ends - now > EXPIRY_WARNING:
        return
    where = certificate["host"] or certificate["name"] or "pool"
    mend = "install a new one with xe host-server-certificate-install or xe pool-install-ca-certificate"
    if ends <= now:
        yield _finding("certificate-expired", "high", where, f"its {certificate['type']} certificate has expired", mend)
    else:
        what = f"its {certificate['type']} certificate ends on {ends:%Y-%m-%d}"
        yield _finding("certificate-expires", "medium", where, what, mend)


def _build(text: str | None) -> tuple[int, ...] | None:
    parts = (text or "").split(".")
    return tuple(int(part) for part in parts[:3]) if all(part.isdigit() for part in parts[:3]) else None


def _finding(identity: str, severity: str, where: str, what: str, mend: str) -> Finding:
    return {"id": identity, "severity": severity, "where": where, "what": what, "mend": mend}
