# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bind mounts of what stands beside a Compose file."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.beside import MOST_BYTES, Place
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.parameters import look, read_text
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError

from .conftest import Controller


def web(controller: Controller, *volumes: t.Any, **source: t.Any) -> tuple[dict[str, t.Any], tuple[str, ...]]:
    lines = [f"      - {volume}" for volume in volumes]
    text = "\n".join(["services:", "  web:", "    image: w", "    volumes:", *lines])
    found = controller.compose(text, **source)
    return found.containers["web"], found.warnings


def test_a_file_is_copied(controller: Controller) -> None:
    controller.files.update({"/project/nginx.conf": "a $b", "/shared/run.sh": "exit", "/project/own.yml": "x"})
    controller.executable.add("/shared/run.sh")
    found, warnings = web(
        controller,
        "./nginx.conf:/etc/nginx/nginx.conf:ro",
        "../shared/run.sh:/run.sh:ro",
        "{type: bind, source: ./own.yml, target: /own.yml}",
    )
    assert found["files"] == {
        "/etc/nginx/nginx.conf": {"content": "a $b", "mode": "0444"},
        "/run.sh": {"content": "exit", "mode": "0555"},
        "/own.yml": {"content": "x", "mode": "0644"},
    }
    assert "volumes" not in found
    (warning,) = warnings
    assert warning.startswith("services.web.volumes[2]: the container gets a copy of /project/own.yml")


def test_a_directory_that_is_not_there_or_empty_is_a_volume_of_the_set(controller: Controller) -> None:
    controller.directories["/project/cache"] = Place()
    found, warnings = web(controller, "./data/db:/var/lib/db", "./cache:/cache:Z", "./data/db:/backup:rw")
    assert found["volumes"] == ["data_db:/var/lib/db:nocopy", "cache:/cache:Z,nocopy", "data_db:/backup:nocopy"]
    assert [warning.rpartition(" ")[2] for warning in warnings] == ["data_db", "cache"]


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ("./gone.conf:/etc/gone.conf", "'/project/gone.conf' .*no such file"),
        ("./gone:/etc/gone:ro", "'/project/gone' .*no such file"),
        ("./conf.d:/etc/conf.d:ro", "'/project/conf.d' .*mount its files one by one"),
        ("./conf.d:/etc/conf.d", "'/project/conf.d' .*name a volume"),
        ("./data:/data", "'/project/data' .*give the volume a name"),
        (".:/code", "'/project' .*mount its files one by one"),
        ("./large.txt:/large.txt", "'/project/large.txt' .*no file of more than 1 MiB"),
    ],
)
def test_what_cannot_be_carried_over_is_refused(controller: Controller, volume: str, message: str) -> None:
    controller.files["/project/large.txt"] = "x" * (MOST_BYTES + 1)
    controller.directories.update({"/project/conf.d": Place(holds_files=True), "/project": Place(holds_files=True)})
    text = f"services: {{web: {{image: w, volumes: ['{volume}']}}}}\nvolumes: {{data: }}"
    with pytest.raises(OptionError, match=rf"^services\.web\.volumes\[0\]: {message}"):
        controller.compose(text)


def test_two_directories_are_not_one_volume(controller: Controller) -> None:
    with pytest.raises(OptionError, match=r"volumes\[1\]: '/data' .*give the volume a name"):
        web(controller, "./data:/a", "../data:/b")


def test_a_source_starts_where_its_file_stands(controller: Controller) -> None:
    controller.write("/project/sub/compose.yaml", "services: {sub: {image: s, volumes: ['./a.conf:/a.conf:ro']}}")
    controller.files["/project/sub/a.conf"] = "of sub"
    found = controller.compose("include: [sub/compose.yaml]")
    assert found.containers["sub"]["files"]["/a.conf"]["content"] == "of sub"


def test_a_document_given_inline_is_in_no_directory(controller: Controller) -> None:
    tree = {"services": {"web": {"image": "w", "volumes": ["./a:/a"]}}}
    with pytest.raises(OptionError, match=r"volumes\[0\]: './a' .*inline"):
        controller.load(inline=tree)


def test_the_engines_socket_is_for_services_that_the_task_names(controller: Controller) -> None:
    socket = "/var/run/docker.sock:/var/run/docker.sock"
    with pytest.raises(OptionError, match=r"volumes\[0\]: .*compose_engine_socket"):
        web(controller, socket)
    assert web(controller, socket, engine_sockets=("web",))[0]["engine_socket"] is True
    with pytest.raises(OptionError, match="^compose_engine_socket: 'wbe' .*it has web"):
        web(controller, socket, engine_sockets=("wbe",))


def test_the_controller_is_looked_at(tmp_path: t.Any) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".gitkeep").touch()
    (tmp_path / "run.sh").write_text("exit\n", encoding="utf-8")
    (tmp_path / "run.sh").chmod(0o755)
    assert look(str(tmp_path / "gone")) is None
    assert look(str(tmp_path / "empty")) == Place()
    assert look(str(tmp_path)) == Place(holds_files=True)
    assert look(str(tmp_path / "run.sh")) == Place(is_file=True, executable=True)


def test_a_directory_of_hidden_files_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / ".htpasswd").touch()
    assert look(str(tmp_path)) == Place(holds_files=True)


def test_a_pipe_beside_the_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HardshellError, match="pipe cannot be read: it is no regular file"):
        read_text(str(tmp_path / "pipe"))
    assert read_text(os.devnull) == ""
