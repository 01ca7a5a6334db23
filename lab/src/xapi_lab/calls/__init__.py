# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Behaviour of calls, one module for each part of the API."""

from __future__ import annotations

import importlib
import pkgutil


def load_all() -> None:
    """Import every module of calls, so that all of them are registered."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
