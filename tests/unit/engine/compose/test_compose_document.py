"""The conformance table that people read is the one that the code goes by."""

from __future__ import annotations

import importlib.util
import pathlib

TOOL = pathlib.Path(__file__).parents[4] / "tests" / "tools" / "compose_table.py"


def test_the_document_shows_the_table() -> None:
    spec = importlib.util.spec_from_file_location("compose_table", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = tool.DOCUMENT.read_text(encoding="utf-8")
    assert text == tool.with_table(text), "run tests/tools/compose_table.py"
    assert text.count("\n| `") > 150
