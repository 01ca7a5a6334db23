# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_findings import pool_findings

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
HOST: dict[str, t.Any] = {
    "name": "xen1",
    "versions": {"xapi": "26.1.4", "date": "20260512T00:00:00Z"},
    "https_only": True,
    "ssl_legacy": False,
    "pending_guidances": [],
}
CERTIFICATE = {"name": "", "type": "host", "host": "xen1", "not_after": "2030-01-01T00:00:00Z"}


def found(
    host: dict[str, t.Any] | None = None, certificate: dict[str, t.Any] | None = None, **pool: t.Any
) -> list[tuple[str, str]]:
    facts = {
        "pool": {"name": "p", "tls_verification": True, **pool},
        "hosts": [{**HOST, **(host or {})}],
        "certificates": [{**CERTIFICATE, **(certificate or {})}],
    }
    findings = pool_findings(facts, NOW)
    assert all(finding["where"] and finding["what"] and finding["mend"] for finding in findings)
    return [(finding["id"], finding["severity"]) for finding in findings]


def test_a_pool_in_order_has_none() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("build", "date", "severity"),
    [
        ("25.33.1", "20251101T00:00:00Z", "high"),
        ("26.1.3", "20260520T00:00:00Z", "high"),
        ("26.0.0", "", "high"),
        (None, None, "high"),
        ("unknown", None, "high"),
        ("26.1.4", "20260401T00:00:00Z", "medium"),
        ("26.1.4", None, "medium"),
    ],
)
def test_builds_before_the_fix_of_xsa_489(build: str | None, date: str | None, severity: str) -> None:
    assert found({"versions": {"xapi": build, "date": date}}) == [("XSA-489", severity)]


@pytest.mark.parametrize(
    ("build", "date"), [("26.1.4", "2026-05-12"), ("26.1.5", ""), ("26.17.0", "19700101T00:00:00Z")]
)
def test_builds_with_the_fix(build: str, date: str) -> None:
    date = "20260512T10:00:00Z" if date == "2026-05-12" else date
    assert found({"versions": {"xapi": build, "date": date}}) == []


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("2026-05-31T00:00:00Z", [("certificate-expired", "high")]),
        ("2026-06-20T00:00:00Z", [("certificate-expires", "medium")]),
        ("2026-07-02T00:00:00Z", []),
        ("", []),
    ],
)
def test_certificates_that_end(ends: str, expected: list[tuple[str, str]]) -> None:
    assert found(certificate={"not_after": ends}) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ({"https_only": False}, [("plain-http", "medium")]),
        ({"https_only": None}, []),
        ({"ssl_legacy": True}, [("legacy-tls", "high")]),
        ({"pending_guidances": ["reboot_host"]}, [("pending-update", "medium")]),
    ],
)
def test_settings_of_a_host(host: dict[str, t.Any], expected: list[tuple[str, str]]) -> None:
    assert found(host) == expected


def test_the_gravest_come_first() -> None:
    assert found({"https_only": False}, tls_verification=False) == [
        ("tls-verification", "high"),
        ("plain-http", "medium"),
    ]


def test_hosts_of_different_builds() -> None:
    other = {**HOST, "name": "xen2", "versions": {"xapi": "26.17.0", "date": None}}
    facts = {"pool": {"name": "", "tls_verification": True}, "hosts": [HOST, other], "certificates": []}
    (finding,) = pool_findings(facts, NOW)
    assert (finding["id"], finding["where"]) == ("mixed-builds", "pool")
    assert "26.1.4, 26.17.0" in finding["what"]
