# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A lab without machines for each test module, and a client of it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_client import Api
from xapi_lab.testing import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(backend="none") as running:
        yield running


@pytest.fixture
def api(lab: Lab) -> Iterator[Api]:
    client = Api(lab)
    yield client
    lab.clear_faults()
