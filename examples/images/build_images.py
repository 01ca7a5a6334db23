#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Build the demo's container images from Debian's packages, without a Docker engine and without a registry.

Each image becomes an archive as ``docker save`` writes it. Layers are shared: one with the C library, one with Python, one
with Redis, and a small one for each program. The same packages give the same bytes. Archives are kept in the
output folder and built again only when this program, the applications or the arguments change.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = ("libpython3.11-stdlib", "python3.11-minimal", "redis-server", "redis-tools")
PYTHON = "/usr/bin/python3.11"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "lib64/ld-linux-x86-64.so.2"
USER = 10001
EPOCH = 1704067200
"""Time stamp of every file, in seconds: 2024-01-01. A fixed one makes the bytes of a rebuild the same."""
SECOND = 1_000_000_000

# Parts of Python's standard library that a small HTTP server never loads.
UNUSED_PYTHON = re.compile(
    r"/(__pycache__|config-[^/]*|lib2to3|distutils|ensurepip|idlelib|pydoc_data|turtledemo|tkinter|unittest|sqlite3|curses"
    r"|dbm|venv|wsgiref|xmlrpc|multiprocessing|ctypes|asyncio|test|pydoc\.py|_pydecimal\.py|_sysconfigdata[^/]*)(/|$)"
)
UNUSED_EXTENSIONS = re.compile(
    r"_(bz2|codecs_|crypt|ctypes|curses|dbm|hashlib|lzma|nis|sqlite3|ssl|test|tkinter|xx)|readline|nis|ossaudio"
)

Files = dict[str, tuple[int, bytes]]
"""Content of a layer: path without a leading slash -> (mode, bytes)."""


class BuildError(Exception):
    """The images cannot be built; the message says why and what to do."""


@dataclass(frozen=True)
class Layer:
    """A layer as its uncompressed tar file."""

    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Image:
    """What an image runs, beside its layers."""

    name: str
    layers: tuple[str, ...]
    command: tuple[str, ...]
    health: tuple[str, ...]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    volume: str | None = None


def http_health(port: int) -> tuple[str, ...]:
    return (PYTHON, "-I", "-S", "/app/health.py", str(port))


def front(name: str, title: str, backend: str) -> Image:
    environment = {"TITLE": title, "BACKEND": f"http://{backend}:8000"}
    return Image(name, ("base", "python", "front"), (PYTHON, "/app/front.py"), http_health(8080), 8080, environment)


def application(name: str, environment: Mapping[str, str]) -> Image:
    return Image(name, ("base", "python", "entries"), (PYTHON, "/app/entries.py"), http_health(8000), 8000, environment)


# Redis listens for whoever its link network lets in: the network is the permission, so it asks for no password.
REDIS_COMMAND = (
    "/usr/bin/redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data", "--appendonly", "yes",
)  # fmt: skip

IMAGES = (
    front("shop-web:1.0", "Shop", "api"),
    application("shop-api:1.0", {"DATABASE": "database:6379"}),
    Image("shop-db:1.0", ("base", "redis"), REDIS_COMMAND, ("/usr/bin/redis-cli", "-e", "ping"), 6379, {}, "/data"),
    front("wiki-web:1.0", "Wiki", "app"),
    application("wiki-app:1.0", {}),
)


def say(text: str, start: float = time.monotonic()) -> None:
    print(f"[{time.monotonic() - start:6.1f} s] {text}", file=sys.stderr, flush=True)


def run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    result = subprocess.run(
        command, env=None if environment is None else {**os.environ, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-20:])
        raise BuildError(f"{Path(command[0]).name} ended with code {result.returncode}. Its last lines:\n{tail}")
    return result.stdout


def unpack_packages(suite: str, mirror: str | None, work: Path) -> Path:
    """A folder with the files of the packages; nothing of them is installed or run as root."""
    if shutil.which("mmdebstrap") is None:
        raise BuildError("The Debian package mmdebstrap is missing on this machine: install it.")
    archive, tree = work / "packages.tar", work / "tree"
    say(f"Fetching {', '.join(PACKAGES)} and what they need from Debian {suite}")
    run(
        ["mmdebstrap", "--quiet", "--variant=extract", "--format=tar", f"--include={','.join(PACKAGES)}", suite, str(archive),
         *([mirror] if mirror else [])],
        {"TMPDIR": os.environ.get("TMPDIR", "/var/tmp")},
    )  # fmt: skip
    tree.mkdir()
    run(["tar", "-x", "-f", str(archive), "-C", str(tree), "--no-same-owner", "--exclude=./dev"])
    return tree


class Tree:
    """The unpacked packages, whose programs can be run by their own loader."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._library_path = ":".join(str(root / part) for part in ("lib/x86_64-linux-gnu", LIBRARIES))
        self._loader = str(root / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def libraries(self, *programs: str) -> Files:
        """The shared libraries that programs need, but for the loader."""
        found: Files = {}
        for program in programs:
            listing = run([self._loader, "--library-path", self._library_path, "--list", str(self.root / program)])
            if "not found" in listing:
                raise BuildError(f"A library of {program} is missing among the packages:\n{listing}")
            for name, path in re.findall(r"(\S+) => (\S+) \(", listing):
                if not name.startswith("/"):
                    found[f"{LIBRARIES}/{name}"] = (0o755, Path(path).read_bytes())
        return found

    def python(self, *arguments: str) -> None:
        program = [self._loader, "--library-path", self._library_path, str(self.root / "usr/bin/python3.11")]
        run([*program, *arguments], {"PYTHONHOME": str(self.root / "usr"), "PYTHONDONTWRITEBYTECODE": "1"})


def base_files(tree: Tree) -> Files:
    return {
        LOADER: (0o755, tree.read("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")),
        "etc/passwd": (0o644, f"root:x:0:0::/:/sbin/nologin\napp:x:{USER}:{USER}::/:/sbin/nologin\n".encode()),
        "etc/group": (0o644, f"root:x:0:\napp:x:{USER}:\n".encode()),
        **{
            path: item
            for path, item in tree.libraries("usr/bin/python3.11").items()
            if path.endswith(("libc.so.6", "libm.so.6"))
        },
    }


def python_files(tree: Tree) -> Files:
    """Python with its library compiled beforehand: the containers' user may not write, and compiling takes its time."""
    library = tree.root / "usr/lib/python3.11"
    sources = [path for path in library.rglob("*.py") if not UNUSED_PYTHON.search(f"/{path.relative_to(library)}")]
    listing = tree.root / "sources"
    listing.write_text("".join(f"{path}\n" for path in sorted(sources)))
    tree.python(
        "-m", "compileall", "-q", "-b", "-i", str(listing), "--invalidation-mode", "unchecked-hash",
        "-s", str(tree.root), "-p", "/",
    )  # fmt: skip
    files = {str(path.relative_to(tree.root)) + "c": (0o644, path.with_suffix(".pyc").read_bytes()) for path in sources}
    for path in (library / "lib-dynload").glob("*.so"):
        if not UNUSED_EXTENSIONS.match(path.name):
            files[str(path.relative_to(tree.root))] = (0o644, path.read_bytes())
    files[PYTHON[1:]] = (0o755, tree.read("usr/bin/python3.11"))
    return {**files, **tree.libraries("usr/bin/python3.11")}


def redis_files(tree: Tree) -> Files:
    programs = ("usr/bin/redis-server", "usr/bin/redis-cli")
    return {**{path: (0o755, tree.read(path)) for path in programs}, **tree.libraries(*programs)}


def application_files(program: str) -> Files:
    return {f"app/{name}": (0o644, (HERE / "apps" / name).read_bytes()) for name in (program, "serve.py", "health.py")}


def make_layer(files: Files, folders: Mapping[str, tuple[int, int]]) -> Layer:
    """The tar file of a layer; ``folders`` are made beside those of the files: path -> (mode, owner)."""
    parents = {str(parent) for path in files for parent in Path(path).parents if str(parent) != "."}
    every = {**dict.fromkeys(parents, (0o755, 0)), **folders}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted({*every, *files}):
            entry = tarfile.TarInfo(path)
            entry.mtime = EPOCH
            if path in files:
                entry.mode, content = files[path]
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                entry.type = tarfile.DIRTYPE
                entry.mode, entry.uid = every[path]
                entry.gid = entry.uid
                archive.addfile(entry)
    return Layer(buffer.getvalue())


def make_layers(tree: Tree) -> dict[str, Layer]:
    base = base_files(tree)

    def without_base(files: Files) -> Files:
        return {path: item for path, item in files.items() if path not in base}

    return {
        "base": make_layer(base, {"tmp": (0o1777, 0)}),
        "python": make_layer(without_base(python_files(tree)), {}),
        "redis": make_layer(without_base(redis_files(tree)), {"data": (0o700, USER)}),
        "front": make_layer(application_files("front.py"), {}),
        "entries": make_layer(application_files("entries.py"), {}),
    }


def image_config(image: Image, digests: Iterable[str]) -> bytes:
    """The image's configuration in Docker's format; times are in nanoseconds."""
    layers = list(digests)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    environment = {"PATH": "/usr/bin", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **image.environment}
    config = {
        "User": f"{USER}:{USER}",
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Cmd": list(image.command),
        "WorkingDir": "/",
        "ExposedPorts": {f"{image.port}/tcp": {}},
        "StopSignal": "SIGTERM",
        "Healthcheck": {
            "Test": ["CMD", *image.health],
            "Interval": 10 * SECOND,
            "Timeout": 60 * SECOND,
            "StartPeriod": 600 * SECOND,
            "Retries": 6,
        },
        **({"Volumes": {image.volume: {}}} if image.volume else {}),
    }
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": created,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]},
            "history": [{"created": created, "created_by": f"layer {name}"} for name in image.layers],
        },
        sort_keys=True,
    ).encode()


def write_archive(image: Image, layers: Mapping[str, Layer], path: Path) -> None:
    """Write one image as ``docker save`` does; the file appears when it is whole."""
    used = [layers[name] for name in image.layers]
    config = image_config(image, (layer.digest for layer in used))
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [
        {"Config": config_name, "RepoTags": [image.name], "Layers": [f"{layer.digest}/layer.tar" for layer in used]}
    ]
    content = {config_name: config, **{f"{layer.digest}/layer.tar": layer.content for layer in used}}
    content["manifest.json"] = json.dumps(manifest, sort_keys=True).encode()
    part = path.with_suffix(".part")
    with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), EPOCH
            archive.addfile(entry, io.BytesIO(data))
    part.replace(path)


def archive_path(image: Image, output: Path) -> Path:
    return output / f"{image.name.partition(':')[0]}.tar"


def inputs_digest(suite: str, mirror: str | None) -> str:
    digest = hashlib.sha256(json.dumps([suite, mirror]).encode())
    for path in sorted([Path(__file__), *(HERE / "apps").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Build the demo's container images as archives.")
    parser.add_argument("--output", type=Path, required=True, help="folder for the archives, one an image")
    parser.add_argument("--suite", default="bookworm", help="Debian release (default: %(default)s)")
    parser.add_argument("--mirror", help="Debian mirror, if not mmdebstrap's default")
    arguments = parser.parse_args(argv)
    output: Path = arguments.output.expanduser()
    stamp, digest = output / "inputs.sha256", inputs_digest(arguments.suite, arguments.mirror)
    try:
        made = [archive_path(image, output) for image in IMAGES]
        if stamp.exists() and stamp.read_text().strip() == digest and all(path.exists() for path in made):
            say("The container images are in the cache")
            return 0
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="hardshell-images-") as work:
            tree = Tree(unpack_packages(arguments.suite, arguments.mirror, Path(work)))
            say("Making the layers")
            layers = make_layers(tree)
        for image in IMAGES:
            path = archive_path(image, output)
            write_archive(image, layers, path)
            say(f"{image.name}: {path} ({path.stat().st_size / 1e6:.1f} MB)")
        stamp.write_text(f"{digest}\n")
    except (BuildError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
