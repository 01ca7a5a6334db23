# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The files behind VDIs: what is written is read again, and clones do not see one another."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xapi_lab.machines.contract import StorageError
from xapi_lab.machines.storage import QcowStorage

MIB = 1024 * 1024
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def chunks(data: bytes, length: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), length):
        yield data[start : start + length]


async def collect(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return [piece async for piece in pieces]


async def content(storage: QcowStorage, uuid: str, sr: Path, format: str = "raw") -> bytes:
    return b"".join(await collect(storage.read_stream(uuid, sr, format)))


def put(storage: QcowStorage, uuid: str, sr: Path, data: bytes, format: str = "raw") -> None:
    run(storage.write_stream(uuid, sr, format, chunks(data), len(data)))


def guest_writes(path: Path, offset: int, data: int, length: int) -> None:
    """Write a byte pattern the way a machine does, through QEMU's block layer."""
    command = f"write -P {data} {offset} {length}"
    subprocess.run(["qemu-io", "-f", path.suffix[1:], "-c", command, str(path)], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def storage() -> QcowStorage:
    return QcowStorage()


def files(sr: Path) -> list[str]:
    return sorted(path.name for path in sr.iterdir())


def test_a_new_disk_is_thin_and_reads_zeros(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, 4 * MIB))
    assert run(storage.physical("a", tmp_path)) == 0
    assert run(content(storage, "a", tmp_path)) == bytes(4 * MIB)


def test_zeros_of_an_import_take_no_room(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, 16 * MIB))
    put(storage, "a", tmp_path, b"x" * MIB + bytes(14 * MIB) + b"y" * MIB)
    assert run(storage.physical("a", tmp_path)) <= 3 * MIB


def test_zeros_of_an_import_replace_what_was_there(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, 2 * MIB))
    put(storage, "a", tmp_path, b"x" * 2 * MIB)
    put(storage, "a", tmp_path, bytes(MIB))
    assert run(content(storage, "a", tmp_path)) == bytes(MIB) + b"x" * MIB


def test_an_import_that_is_too_large_is_refused(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, MIB))
    with pytest.raises(StorageError, match="only 1048576"):
        put(storage, "a", tmp_path, b"x" * (MIB + 1))
    with pytest.raises(StorageError, match="larger"):
        run(storage.write_stream("a", tmp_path, "raw", chunks(b"x" * (MIB + 1)), None))


def test_clones_share_a_base_and_do_not_see_one_another(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, 2 * MIB))
    put(storage, "a", tmp_path, b"a" * 2 * MIB)
    run(storage.clone("a", tmp_path, "b"))
    guest_writes(storage.path("a", tmp_path), 0, ord("A"), 512)
    guest_writes(storage.path("b", tmp_path), 512, ord("B"), 512)
    assert run(content(storage, "a", tmp_path))[:1024] == b"A" * 512 + b"a" * 512
    assert run(content(storage, "b", tmp_path))[:1024] == b"a" * 512 + b"B" * 512


def test_many_clones_of_one_untouched_disk_stand_on_one_base(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("template", tmp_path, 2 * MIB))
    for number in range(5):
        run(storage.clone("template", tmp_path, f"clone{number}"))
    assert len(list(tmp_path.glob("base-*"))) == 1


def test_a_base_goes_with_the_last_disk_on_it(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, 2 * MIB))
    put(storage, "a", tmp_path, b"a" * MIB)
    run(storage.clone("a", tmp_path, "b"))
    guest_writes(storage.path("b", tmp_path), 0, 1, 512)
    run(storage.clone("b", tmp_path, "c"))
    run(storage.destroy("b", tmp_path))
    run(storage.destroy("a", tmp_path))
    assert run(content(storage, "c", tmp_path))[:1024] == b"\1" * 512 + b"a" * 512
    run(storage.destroy("c", tmp_path))
    assert files(tmp_path) == []


def test_a_disk_that_is_gone_can_be_destroyed_again(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.destroy("a", tmp_path))


def test_a_clone_that_was_cut_off_loses_nothing(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, 2 * MIB))
    put(storage, "a", tmp_path, b"a" * 2 * MIB)
    (tmp_path / "base-1.raw").hardlink_to(storage.path("a", tmp_path))
    (tmp_path / "b.qcow2.part").write_bytes(b"")
    storage.clean(tmp_path)
    assert files(tmp_path) == ["a.raw"]
    assert run(content(storage, "a", tmp_path)) == b"a" * 2 * MIB


@pytest.mark.parametrize("cloned", [False, True])
def test_a_disk_grows_and_never_shrinks(storage: QcowStorage, tmp_path: Path, cloned: bool) -> None:
    run(storage.create("a", tmp_path, 2 * MIB))
    put(storage, "a", tmp_path, b"a" * 2 * MIB)
    if cloned:
        run(storage.clone("a", tmp_path, "b"))
    run(storage.resize("a", tmp_path, 4 * MIB))
    assert run(content(storage, "a", tmp_path)) == b"a" * 2 * MIB + bytes(2 * MIB)
    with pytest.raises(StorageError, match="cannot shrink"):
        run(storage.resize("a", tmp_path, 2 * MIB))


def test_a_clone_can_be_written_over(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, 2 * MIB))
    put(storage, "a", tmp_path, b"a" * 2 * MIB)
    run(storage.clone("a", tmp_path, "b"))
    put(storage, "b", tmp_path, b"b" * MIB)
    assert run(content(storage, "b", tmp_path)) == b"b" * MIB + b"a" * MIB
    assert run(content(storage, "a", tmp_path)) == b"a" * 2 * MIB


def test_a_copy_stands_alone_on_another_sr(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path / "one", 2 * MIB))
    put(storage, "a", tmp_path / "one", b"a" * MIB)
    run(storage.copy("a", tmp_path / "one", "b", tmp_path / "two"))
    run(storage.destroy("a", tmp_path / "one"))
    assert run(content(storage, "b", tmp_path / "two")) == b"a" * MIB + bytes(MIB)


def test_overlays_are_sound_for_qemu(storage: QcowStorage, tmp_path: Path) -> None:
    size = 700 * 1024 * MIB
    run(storage.create("a", tmp_path, size))
    path = run(storage.clone("a", tmp_path, "b"))
    subprocess.run(["qemu-img", "check", "-q", str(path)], check=True)
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", str(path)]))
    assert (info["virtual-size"], info["backing-filename-format"]) == (size, "raw")


@pytest.mark.parametrize("subformat", ["dynamic", "fixed"])
def test_a_vhd_made_by_qemu_is_imported(storage: QcowStorage, tmp_path: Path, subformat: str) -> None:
    data = bytes(MIB) + b"x" * MIB + bytes(3 * MIB) + b"y" * 1536 + bytes(MIB - 1536)
    (tmp_path / "source").write_bytes(data)
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", f"subformat={subformat},force_size=on",
         str(tmp_path / "source"), str(tmp_path / "vhd")],
        check=True,
    )  # fmt: skip
    run(storage.create("a", tmp_path / "sr", 8 * MIB))
    put(storage, "a", tmp_path / "sr", (tmp_path / "vhd").read_bytes(), "vhd")
    assert run(content(storage, "a", tmp_path / "sr")) == data + bytes(2 * MIB)


def test_a_vhd_goes_out_and_comes_in_again(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, 6 * MIB))
    put(storage, "a", tmp_path, b"z" * 3 * MIB)
    exported = run(content(storage, "a", tmp_path, "vhd"))
    run(storage.create("b", tmp_path, 6 * MIB))
    put(storage, "b", tmp_path, exported, "vhd")
    assert run(content(storage, "b", tmp_path)) == run(content(storage, "a", tmp_path))
    assert files(tmp_path) == ["a.raw", "b.raw"]


@given(
    size=st.integers(1, 3).map(lambda blocks: blocks * 2 * MIB),
    patches=st.lists(st.tuples(st.integers(0, 6 * MIB - 1), st.integers(1, 70_000), st.booleans()), max_size=4),
)
@settings(max_examples=15, deadline=None)
def test_a_difference_makes_its_base_the_disk(size: int, patches: list[tuple[int, int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage, sr = QcowStorage(), Path(folder)
        run(storage.create("00000000-0000-0000-0000-000000000001", sr, size))
        put(storage, "00000000-0000-0000-0000-000000000001", sr, b"a" * (size // 2))
        base = "00000000-0000-0000-0000-000000000002"
        run(storage.clone("00000000-0000-0000-0000-000000000001", sr, base))
        for offset, length, zeros in patches:
            if offset + length <= size:
                guest_writes(storage.path(base.replace("2", "1"), sr), offset, 0 if zeros else 98, length)
        disk = base.replace("2", "1")
        difference = b"".join(run(collect(storage.read_stream(disk, sr, "vhd", (base, sr)))))
        put(storage, base, sr, difference, "vhd")
        assert run(content(storage, base, sr)) == run(content(storage, disk, sr))


def test_qemu_reads_an_exported_vhd(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, 6 * MIB))
    put(storage, "a", tmp_path, bytes(MIB) + b"z" * 3 * MIB)
    (tmp_path / "vhd").write_bytes(run(content(storage, "a", tmp_path, "vhd")))
    image = "driver=vpc,force_size_calc=current_size,file.filename=vhd"
    subprocess.run(["qemu-img", "convert", "--image-opts", image, "-O", "raw", "back"], check=True, cwd=tmp_path)
    assert (tmp_path / "back").read_bytes() == run(content(storage, "a", tmp_path))


@pytest.mark.parametrize(
    ("damage", "words"), [(lambda v: v[:-MIB], "ends inside"), (lambda v: v[:100] + b"!" + v[101:], "checksum")]
)
def test_a_damaged_vhd_is_refused(storage: QcowStorage, tmp_path: Path, damage: Any, words: str) -> None:
    run(storage.create("a", tmp_path, 6 * MIB))
    put(storage, "a", tmp_path, b"z" * 6 * MIB)
    exported = run(content(storage, "a", tmp_path, "vhd"))
    with pytest.raises(StorageError, match=words):
        put(storage, "a", tmp_path, damage(exported), "vhd")


def test_a_vhd_larger_than_its_disk_is_refused(storage: QcowStorage, tmp_path: Path) -> None:
    run(storage.create("a", tmp_path, 6 * MIB))
    put(storage, "a", tmp_path, b"z" * 6 * MIB)
    run(storage.create("small", tmp_path, 4 * MIB))
    with pytest.raises(StorageError, match="larger"):
        put(storage, "small", tmp_path, run(content(storage, "a", tmp_path, "vhd")), "vhd")


def test_an_unknown_disk_is_named(storage: QcowStorage, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="disk nowhere has no file"):
        run(storage.resize("nowhere", tmp_path, MIB))


@settings(max_examples=25, deadline=None)
@given(
    writes=st.lists(
        st.tuples(st.integers(0, 15), st.sampled_from([b"\0", b"p", b"q"]), st.integers(1, 200_000)), max_size=6
    )
)
def test_any_series_of_imports_reads_back(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, bytes, int]]
) -> None:
    """Each import writes zeros up to its start and a pattern from there: the model is a plain byte array."""
    storage, sr = QcowStorage(), tmp_path_factory.mktemp("sr")
    model = bytearray(2 * MIB)
    run(storage.create("a", sr, len(model)))
    for start, byte, length in writes:
        data = bytes(start * 65_536) + byte * length
        model[: len(data)] = data
        put(storage, "a", sr, data)
    assert run(content(storage, "a", sr)) == bytes(model)
