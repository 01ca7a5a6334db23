# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""XAPI's errors as sentences."""

from __future__ import annotations

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._pool.xapi_errors import _SENTENCES, XapiError

REF = "OpaqueRef:5995b6b1-a982-42c7-8d51-5a9139cd14eb"


@pytest.mark.parametrize("code", _SENTENCES)
@pytest.mark.parametrize("parameters", [[], [REF], ["a {0}", "b", "c", "d", "e", "f"]], ids=["none", "one", "many"])
def test_every_sentence_takes_whatever_the_pool_sends_with_it(code: str, parameters: list[str]) -> None:
    error = XapiError("start 'shop'", [code, *parameters])
    assert str(error).startswith("start 'shop': ")
    assert str(error).endswith(f"[{code}]")


def test_an_unknown_error_shows_what_it_came_with_and_no_references() -> None:
    error = XapiError("start 'shop'", ["VM_REQUIRES_VUSB", REF, "the key"])
    assert str(error) == "start 'shop': the pool answered VM_REQUIRES_VUSB: the key [VM_REQUIRES_VUSB]"


@pytest.mark.parametrize(
    ("description", "told"),
    [
        (["VM_MIGRATE_FAILED", REF, REF, REF, "tapdisk died"], "the VM is where it was: tapdisk died"),
        (["SR_BACKEND_FAILURE_73", "", "NFS mount error [opterr=timed out]", ""], "NFS mount error [opterr=timed out]"),
        (["FAILED_TO_START_EMULATOR", REF, "qemu-dm", "Daemon exited"], "(qemu-dm): Daemon exited"),
    ],
)
def test_what_the_pool_says_of_the_cause_is_told(description: list[str], told: str) -> None:
    assert told in str(XapiError("move it", description))
