# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Where the third-party clients are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from xapi_lab.machines.namespace import prerequisites
from xapi_lab.testing import Lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.path.name != "test_xenapi.py":
            item.add_marker(pytest.mark.clients)


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where install.sh puts the clients."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hardshell.xen"


@pytest.fixture(scope="session")
def backend() -> str:
    """What the clients' VMs are: guests with an agent and a clean shutdown of their own, where this machine can have them."""
    return "none" if prerequisites.missing() else "namespace"


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, backend: str) -> Iterator[Lab]:
    """A lab of that backend, or of the one that a test asks for: ``parametrize("lab", ["none"], indirect=True)``."""
    with Lab(backend=getattr(request, "param", backend)) as running:
        yield running
