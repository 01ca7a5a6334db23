# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What the lab does with each message of the data model, as a document: `xapi-lab messages`."""

from __future__ import annotations

from collections import Counter

from xapi_lab import model
from xapi_lab.calls import absent_features, generic, load_all
from xapi_lab.calls.registry import CALLS
from xapi_lab.model import Class, Message

BEHAVIOUR, PART, ABSENT = "behaviour", "behaviour in part", "absent feature"
DATA, REMOVED, MISSING = "plain data", "removed", "NOT_IMPLEMENTED"
KINDS = {
    BEHAVIOUR: "does what XAPI does, by XAPI's rules",
    PART: "does some of it, and answers `NOT_IMPLEMENTED` to the rest",
    ABSENT: "answers as a pool answers that does not have or use the feature",
    DATA: "reads or writes the records, from the data model alone",
    REMOVED: "answers `MESSAGE_REMOVED`, as XAPI does",
    MISSING: "answers `NOT_IMPLEMENTED`",
}


def kind(class_: Class, message: Message) -> str:
    """Which of KINDS a message is; calls of the lab's behaviour have to be loaded."""
    handler = CALLS.get(message.wire_name)
    if message.removed:
        return REMOVED
    if handler is None:
        return DATA if generic.answers(class_, message) else MISSING
    if handler.__module__ == absent_features.__name__:
        return ABSENT
    return PART if MISSING in handler.__code__.co_consts else BEHAVIOUR


def document() -> str:
    """The table of all messages by class, in Markdown."""
    load_all()
    known = model.load()
    totals: Counter[str] = Counter()
    sections = []
    for name, class_ in sorted(known.classes.items(), key=lambda item: item[0].lower()):
        by_kind: dict[str, list[str]] = {}
        for message in class_.messages.values():
            by_kind.setdefault(kind(class_, message), []).append(message.name)
        totals.update({found: len(names) for found, names in by_kind.items()})
        rows = [f"| {found} | {', '.join(sorted(by_kind[found]))} |" for found in KINDS if found in by_kind]
        if rows:
            sections.append("\n".join([f"## {name}", "", "| what | messages |", "|---|---|", *rows]))
    summary = [f"| {found} | {totals[found]} | {meaning} |" for found, meaning in KINDS.items()]
    head = [
        "# What the lab does with each message",
        "",
        f"Of the data model of XAPI {known.xapi} (API {known.api}). Written by `xapi-lab messages > MESSAGES.md`.",
        "",
        "| what | messages | meaning |",
        "|---|---|---|",
        *summary,
        f"| all | {totals.total()} | |",
    ]
    return "\n\n".join(["\n".join(head), *sections]) + "\n"
