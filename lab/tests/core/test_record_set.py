# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Pools from saved records: the lab's own, and what `xe pool-dump-database` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from api_client import MIB, Api
from consistency import broken_rules
from hypothesis import given
from hypothesis import strategies as st
from xapi_lab import cli, model, record_set, saved_pool
from xapi_lab.config import Config, ConfigError
from xapi_lab.database import NOT_STORED
from xapi_lab.model.types import Type
from xapi_lab.record_set import RecordSetError, parse_expression
from xapi_lab.testing import Lab

MODEL = model.load()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A saved pool of two hosts with a running VM, and its records."""
    path = tmp_path_factory.mktemp("saved") / "pool.json"
    with Lab(hosts=[{"name": "one"}, {"name": "two"}]) as lab:
        api = Api(lab)
        vm = api.running_vm("kept")
        api("VM.add_to_other_config", vm, "odd", "a 'b' \\ (c)\n% d")
        api("VM.set_tags", vm, ["x", "y z"])
        lab.run(lambda inside: record_set.write(inside.database, path))
        yield path, {name: lab.records(name) for name in MODEL.classes if name not in NOT_STORED}


def dumped(records: dict[str, Any]) -> str:
    """Records as xe pool-dump-database writes them."""

    def text(type_: Type, value: Any) -> str:
        if type_.kind == "set":
            assert type_.item is not None
            return "(" + " ".join(quoted(text(type_.item, item)) for item in value) + ")"
        if type_.kind == "map":
            assert type_.item is not None
            pairs = (f"({quoted(str(key))} {quoted(text(type_.item, item))})" for key, item in value.items())
            return "(" + " ".join(pairs) + ")"
        return str(value).lower() if isinstance(value, bool) else str(value)

    def quoted(string: str) -> str:
        return "'" + string.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def protected(string: str) -> str:
        for plain, safe in (("%", "%%"), ("\t", "%t"), ("\n", "%n"), ("\r", "%r"), (" ", "%.")):
            string = string.replace(plain, safe)
        return string

    rows: dict[str, list[str]] = {}
    for class_name, of_class in records.items():
        fields = MODEL.classes[class_name].fields
        for ref, record in of_class.items():
            attributes = {fields[name].database_name: text(fields[name].type, value) for name, value in record.items()}
            told = " ".join(f"{name}={quoteattr(protected(value))}" for name, value in attributes.items())
            rows.setdefault(class_name, []).append(f'<row ref="{ref}" __ctime="1" __mtime="2" {told} />')
    tables = "".join(f'<table name="{name}">{"".join(of_class)}</table>' for name, of_class in rows.items())
    return f'<?xml version="1.0"?><database><manifest><pair key="schema_major_vsn" value="5"/></manifest>{tables}</database>'


_TOLD_ANEW = {"address", "IP", "allowed_operations", "last_updated", "live", "enabled", "memory_free", "networks"}
"""Fields that a server that starts sets itself."""


def _same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for class_name, of_class in expected.items():
        assert found[class_name].keys() == of_class.keys(), class_name
        for ref, record in of_class.items():
            for name, value in record.items():
                if name not in _TOLD_ANEW:
                    mine = found[class_name][ref][name]
                    alike = sorted(mine) == sorted(value) if isinstance(value, list) else mine == value
                    assert alike, (class_name, name, mine, value)


@pytest.mark.parametrize("form", ["json", "xml"])
def test_a_saved_pool_is_loaded_again(saved: tuple[Path, dict[str, Any]], tmp_path: Path, form: str) -> None:
    path, records = saved
    if form == "xml":
        path = tmp_path / "dump.xml"
        path.write_text(dumped(records))
    number, unread = saved_pool.load(tmp_path / "state", path, Config(backend="none"))
    assert (number, unread) == (sum(len(of_class) for of_class in records.values()), [])
    with Lab(state_dir=tmp_path / "state") as lab:
        _same({name: lab.records(name) for name in records}, records)
        assert broken_rules(lab) == []
        api = Api(lab)
        vm = api("VM.get_by_name_label", "kept")[0]
        assert api("VM.get_other_config", vm)["odd"] == "a 'b' \\ (c)\n% d"
        api("VM.hard_shutdown", vm)
        api("VM.start", vm, False, False)
    with pytest.raises(ConfigError, match="has a pool already"):
        saved_pool.load(tmp_path / "state", path, Config(backend="none"))


def test_a_pool_with_machines_has_empty_disks_and_halted_vms(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    saved_pool.load(tmp_path / "state", saved[0], Config(backend="qemu"))
    with Lab(backend="qemu", state_dir=tmp_path / "state") as lab:
        api = Api(lab)
        vm = api("VM.get_by_name_label", "kept")[0]
        assert api("VM.get_power_state", vm) == "Halted"
        vdi = api("VBD.get_VDI", api("VM.get_VBDs", vm)[0])
        api("VDI.destroy", api("VDI.clone", vdi, {}))
        api("VDI.resize", vdi, int(api("VDI.get_virtual_size", vdi)) + 2 * MIB)


def test_a_real_pools_addresses_and_unknown_things_do_no_harm(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    records = json.loads(saved[0].read_text())
    for host in records["host"].values():
        host["address"] = "192.0.2.1"
    (pool,) = records["pool"].values()
    pool["of_the_future"], pool["ha_enabled"] = "x", "perhaps"
    records["Hologram"] = {}
    path = tmp_path / "real.json"
    path.write_text(json.dumps(records))
    _, unread = saved_pool.load(tmp_path / "state", path, Config(backend="none"))
    assert unread == ["Hologram", "pool.ha_enabled", "pool.of_the_future"]
    with Lab(state_dir=tmp_path / "state") as lab:
        addresses = {record["address"] for record in lab.records("host").values()}
        assert addresses == {"127.0.0.1", "127.0.0.2"}


@pytest.mark.parametrize(
    ("text", "words"),
    [("{}", "class pool"), ("[]", "object of classes"), ("{", "Expecting"), ("<xport/>", "pool-dump-database"),
     ("<database", "unclosed"), ('{"pool": {"r": {"master": "OpaqueRef:x"}}}', "not among its hosts")],
)  # fmt: skip
def test_what_is_no_record_set_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(RecordSetError, match=words):
        saved_pool.load(tmp_path / "state", path, Config(backend="none"))
    assert not (tmp_path / "state").exists()


@given(items=st.lists(st.text(alphabet="ab '\\()\n%é", max_size=6), max_size=4))
def test_sets_of_any_strings_are_read(items: list[str]) -> None:
    quoted = (item.replace("\\", "\\\\").replace("'", "\\'") for item in items)
    assert parse_expression("(" + " ".join(f"'{item}'" for item in quoted) + ")") == items


def test_the_command_line_saves_and_loads(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str, state: str = "first") -> tuple[int, str]:
        code = cli.main([*arguments, "--state-dir", str(tmp_path / state)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    assert "start the pool with" in run("load", str(saved[0]), "--backend", "none")[1]
    assert run("load", str(saved[0]))[0] == 1
    assert "does not answer" in run("save", str(tmp_path / "none.json"))[1]
    assert run("up", "--backend", "none")[0] == 0
    try:
        assert "kept" in run("status")[1]
        assert "has no console log" in run("console", "kept")[1]
        (uuid,) = [vm["uuid"] for vm in saved[1]["VM"].values() if vm["name_label"] == "kept"]
        folder = tmp_path / "first" / "machines" / uuid
        folder.mkdir(parents=True)
        (folder / "console.log").write_text("login: ")
        (folder / "qemu.log").write_text("warning: ")
        assert run("console", "kept")[1].startswith("login: (log file:")
        assert "cannot be written" in run("save", str(tmp_path / "nowhere" / "pool.json"))[1]
        assert run("save", str(tmp_path / "again.json"))[0] == 0
    finally:
        run("down")
    assert json.loads((tmp_path / "again.json").read_text()).keys() == json.loads(saved[0].read_text()).keys()


@pytest.mark.parametrize(
    ("class_name", "field", "value"),
    [("SR", "uuid", "../../oops"), ("VDI", "uuid", "/oops"), ("VM", "uuid", ""), ("VIF", "uuid", "a b"),
     ("VIF", "MAC", "; true"), ("VIF", "device", "²")],
)  # fmt: skip
def test_what_names_files_and_devices_is_looked_at(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path, class_name: str, field: str, value: str
) -> None:
    records = json.loads(saved[0].read_text())
    next(iter(records[class_name].values()))[field] = value
    path = tmp_path / "pool.json"
    path.write_text(json.dumps(records))
    with pytest.raises(RecordSetError, match=f"{class_name} OpaqueRef:.* as {field}, which is none"):
        saved_pool.load(tmp_path / "state", path, Config(backend="none"))
    assert not (tmp_path / "state").exists()
