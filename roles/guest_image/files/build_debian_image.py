#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Copyright: hardshell.xen contributors
"""Build a Debian disk image with Docker Engine, cloud-init and sshd that boots from BIOS and from UEFI.

The disk is raw, with a GPT: a BIOS boot partition, an EFI system partition and an ext4 root labelled ``root``.
No loop device and no mount is used. As root, mmdebstrap works in its root mode; as a user, in its unshare mode,
which needs the package ``uidmap`` and a range for the user in /etc/subuid and /etc/subgid.

The image is kept in the cache folder under a name that carries a hash of everything it is made from, so a second
call with the same inputs returns at once. The last line on standard output is the path of the image; progress goes
to standard error.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import debian_guest
from debian_guest import (
    AGENT_FILES,
    EARLY_FILES,
    ENABLED_UNITS,
    LATE_FILES,
    LEFT_OUT,
    MASKED_UNITS,
    PACKAGES,
    REMOVED,
    UNUSED_APPARMOR_PROFILES,
)

MIB = 1024 * 1024
SECTOR = 512

# Partitions in sectors: (start, size); the root takes the rest, less the backup GPT.
BIOS_BOOT = (2048, 2048)
ESP = (4096, 8 * MIB // SECTOR)
ROOT_START = ESP[0] + ESP[1]
BACKUP_GPT = 2048

# GRUB's own names for the fields that grub-bios-setup fills in (include/grub/i386/pc/boot.h of GRUB 2.06).
BOOT_MACHINE_BPB_END = 0x5A
BOOT_MACHINE_KERNEL_SECTOR = 0x5C
BOOT_MACHINE_DRIVE_CHECK = 0x66
BOOT_MACHINE_CODE_END = 0x1B8
DISKBOOT_FIRST_BLOCK = SECTOR - 12

GRUB_EARLY_CONFIG = """\
search --no-floppy --label root --set=root
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""

GRUB_MODULES = ("part_gpt", "ext2", "search", "search_label", "normal", "configfile", "linux", "serial", "terminal")

TOOLS = {
    "grub-mkimage": "grub-common",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "sfdisk": "fdisk",
    "tar": "tar",
    "unshare": "util-linux",
}
GRUB_PLATFORMS = {"i386-pc": "grub-pc-bin", "x86_64-efi": "grub-efi-amd64-bin"}


class BuildError(Exception):
    """The image cannot be built; the message says why and what to do."""


class Progress:
    """Lines with the seconds since the start, on standard error."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:6.1f} s] {text}", file=sys.stderr, flush=True)


def run(command: list[str], *, what: str, environment: dict[str, str] | None = None) -> None:
    """Run a command; its output is shown only when it fails."""
    result = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if result.returncode != 0:
        tail = "\n".join(result.stdout.decode(errors="replace").splitlines()[-25:])
        raise BuildError(f"{what} failed: {command[0]} ended with code {result.returncode}. Its last lines:\n{tail}")


def missing_requirements(as_root: bool) -> list[str]:
    """Debian packages that have to be installed before an image can be built."""
    tools = dict(TOOLS) if as_root else {**TOOLS, "newuidmap": "uidmap"}
    packages = {package for tool, package in tools.items() if shutil.which(tool) is None}
    packages |= {
        package
        for platform, package in GRUB_PLATFORMS.items()
        if not Path("/usr/lib/grub", platform, "moddep.lst").exists()
    }
    return sorted(packages)


def file_hook(path: str, content: str) -> str:
    """A mmdebstrap hook (shell text, the new root is ``$1``) that writes one file."""
    parent = shlex.quote(str(Path(path).parent))
    return f'mkdir -p "$1"{parent} && printf %s {shlex.quote(content)} > "$1"{shlex.quote(path)}'


def mmdebstrap_command(suite: str, mirror: str | None, packages: list[str], target: Path) -> list[str]:
    early = [file_hook(path, content) for path, content in EARLY_FILES.items()]
    late = [file_hook(path, content) for path, content in LATE_FILES.items()]
    late += [
        f'chroot "$1" systemctl --quiet enable {shlex.join(ENABLED_UNITS)}',
        f'chroot "$1" systemctl --quiet mask {shlex.join(MASKED_UNITS)}',
        'chroot "$1" passwd --quiet --lock root',
        'cd "$1/etc/apparmor.d" && mkdir -p disable && '
        f"for name in {shlex.join(UNUSED_APPARMOR_PROFILES)}; do ln -sf ../$name disable/$name; done",
        "for pattern in " + " ".join(REMOVED) + '; do rm -rf "$1"$pattern; done',
    ]
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(packages)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        *(f"--essential-hook={hook}" for hook in early),
        *(f"--customize-hook={hook}" for hook in late),
        suite,
        str(target),
        *([mirror] if mirror else []),
    ]


MMDEBSTRAP_STAGE = re.compile(r"^I: (.*?)\.*$")


def bootstrap(command: list[str], log: Path, progress: Progress) -> None:
    """Run mmdebstrap, pass its stages on as progress, keep its whole output in ``log``."""
    environment = {**os.environ, "TMPDIR": os.environ.get("TMPDIR", "/var/tmp"), "LC_ALL": "C.UTF-8"}
    with (
        log.open("w", encoding="utf-8") as record,
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                record.write(line)
                stage = MMDEBSTRAP_STAGE.match(line.strip())
                if stage and not stage[1].startswith("running --"):
                    progress.say(f"mmdebstrap: {stage[1]}")
        except BaseException:
            process.terminate()
            raise
    code = process.returncode
    if code != 0:
        tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-25:])
        raise BuildError(f"mmdebstrap ended with code {code}. Its last lines:\n{tail}")


# Without device nodes, which an ordinary user cannot make: the kernel fills /dev before anything of the root runs.
# GRUB 2.06 does not read a root that has these newer features of ext4.
ROOT_SCRIPT = """\
set -e
mkdir "$1"
trap 'rm -rf "$1"' EXIT
tar --extract --file "$2" --directory "$1" --exclude='./dev/*' --numeric-owner --same-owner --xattrs --xattrs-include='*'
mke2fs -q -F -t ext4 -L root -m 1 -O ^metadata_csum_seed,^orphan_file -E "offset=$4" -d "$1" "$3" "$5k"
"""


def write_root_filesystem(archive: Path, disk: Path, size: int, work: Path) -> None:
    """Make the ext4 root of ``size`` bytes inside ``disk`` from the archive of its files, with their owners."""
    namespace = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--map-auto", "--"]
    arguments = [str(work / "root"), str(archive), str(disk), str(ROOT_START * SECTOR), str(size // 1024)]
    run([*namespace, "sh", "-c", ROOT_SCRIPT, "sh", *arguments], what="Writing the root filesystem")


def write_partition_table(disk: Path, root_sectors: int) -> None:
    table = (
        "label: gpt\n"
        f"start={BIOS_BOOT[0]}, size={BIOS_BOOT[1]}, type=21686148-6449-6E6F-744E-656564454649, name=bios\n"
        f"start={ESP[0]}, size={ESP[1]}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp\n"
        f"start={ROOT_START}, size={root_sectors}, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root\n"
    )
    result = subprocess.run(
        ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(disk)],
        input=table, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        raise BuildError(f"sfdisk could not write the partition table:\n{result.stdout}")


def boot_sector(boot: bytes, existing: bytes, core_start: int) -> bytes:
    """GRUB's boot.img, made to load the sector ``core_start``, keeping the partition table of the ``existing`` sector."""
    sector = bytearray(boot)
    sector[0x3:BOOT_MACHINE_BPB_END] = existing[0x3:BOOT_MACHINE_BPB_END]
    sector[BOOT_MACHINE_CODE_END : SECTOR - 2] = existing[BOOT_MACHINE_CODE_END : SECTOR - 2]
    struct.pack_into("<Q", sector, BOOT_MACHINE_KERNEL_SECTOR, core_start)
    # Some firmwares hand over a wrong drive number; GRUB then must take the first hard disk (two NOPs skip its check).
    struct.pack_into("<H", sector, BOOT_MACHINE_DRIVE_CHECK, 0x9090)
    return bytes(sector)


def core_image(core: bytes, core_start: int) -> bytes:
    """GRUB's core.img, whose first sector is made to load the rest from the sectors right behind ``core_start``."""
    image = bytearray(core)
    struct.pack_into("<Q", image, DISKBOOT_FIRST_BLOCK, core_start + 1)
    return bytes(image)


def write_bios_loader(disk: Path, work: Path, early_config: Path) -> None:
    core_path = work / "core.img"
    run(
        ["grub-mkimage", "--format=i386-pc", "--prefix=/boot/grub", f"--config={early_config}", f"--output={core_path}",
         "biosdisk", *GRUB_MODULES],
        what="Making the BIOS loader",
    )  # fmt: skip
    core = core_path.read_bytes()
    if len(core) > BIOS_BOOT[1] * SECTOR:
        raise BuildError(f"GRUB's core image ({len(core)} bytes) does not fit the BIOS boot partition.")
    with disk.open("r+b") as device:
        existing = device.read(SECTOR)
        device.seek(0)
        device.write(boot_sector(Path("/usr/lib/grub/i386-pc/boot.img").read_bytes(), existing, BIOS_BOOT[0]))
        device.seek(BIOS_BOOT[0] * SECTOR)
        device.write(core_image(core, BIOS_BOOT[0]))


def write_efi_loader(disk: Path, work: Path, early_config: Path) -> None:
    loader, esp = work / "BOOTX64.EFI", work / "esp.img"
    run(
        ["grub-mkimage", "--format=x86_64-efi", "--prefix=/boot/grub", f"--config={early_config}", f"--output={loader}",
         *GRUB_MODULES],
        what="Making the EFI loader",
    )  # fmt: skip
    with esp.open("wb") as image:
        image.truncate(ESP[1] * SECTOR)
    run(["mkfs.vfat", "-n", "ESP", str(esp)], what="Making the EFI system partition")
    run(["mmd", "-i", str(esp), "::/EFI", "::/EFI/BOOT"], what="Filling the EFI system partition")
    run(["mcopy", "-i", str(esp), str(loader), "::/EFI/BOOT/BOOTX64.EFI"], what="Filling the EFI system partition")
    with disk.open("r+b") as device:
        device.seek(ESP[0] * SECTOR)
        device.write(esp.read_bytes())


def build(image: Path, arguments: argparse.Namespace, work: Path, progress: Progress) -> None:
    """Build the image in ``work`` and move it to ``image`` when it is whole."""
    archive, disk = work / "root.tar", work / "disk.raw"
    early_config = work / "early.cfg"
    early_config.write_text(GRUB_EARLY_CONFIG, encoding="ascii")
    packages = [*PACKAGES, *arguments.package]

    progress.say(f"Building Debian {arguments.suite} with {len(packages)} packages; this takes a minute or two")
    log = image.with_suffix(".log")
    bootstrap(mmdebstrap_command(arguments.suite, arguments.mirror, packages, archive), log, progress)

    size = arguments.size * MIB
    with disk.open("wb") as device:
        device.truncate(size)
    root_sectors = size // SECTOR - ROOT_START - BACKUP_GPT
    progress.say("Writing the partition table and the root filesystem")
    write_partition_table(disk, root_sectors)
    write_root_filesystem(archive, disk, root_sectors * SECTOR, work)
    progress.say("Writing the boot loaders for BIOS and UEFI")
    write_bios_loader(disk, work, early_config)
    write_efi_loader(disk, work, early_config)
    progress.say("Computing the checksum")
    with disk.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    checksum_file(image).write_text(f"sha256:{checksum}\n", encoding="ascii")
    disk.replace(image)


def checksum_file(image: Path) -> Path:
    """Where the checksum of an image is kept, as ``sha256:HEX``."""
    return image.with_suffix(".sha256")


def cache_key(arguments: argparse.Namespace) -> str:
    """Twelve hex digits that change whenever an input of the image does: this program or an argument."""
    sources = (Path(__file__), Path(debian_guest.__file__), *AGENT_FILES.values())
    inputs = {
        "program": [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources],
        "suite": arguments.suite,
        "mirror": arguments.mirror,
        "size": arguments.size,
        "package": sorted(arguments.package),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build a bootable Debian disk image with Docker Engine.")
    parser.add_argument(
        "--cache-dir",
        type=Path,
        default=Path("~/.cache/hardshell.xen"),
        help="where the image is kept (default: %(default)s)",
    )
    parser.add_argument("--suite", default="bookworm", help="Debian release (default: %(default)s)")
    parser.add_argument("--mirror", help="Debian mirror, if not mmdebstrap's default")
    parser.add_argument(
        "--size", type=int, default=2048, metavar="MIB", help="size of the disk in MiB (default: %(default)s)"
    )
    parser.add_argument(
        "--package", action="append", default=[], help="one more Debian package to install; may be repeated"
    )
    parser.add_argument("--rebuild", action="store_true", help="build although the image is in the cache")
    arguments = parser.parse_args(argv)
    if arguments.size < 1536:
        parser.error(f"--size is {arguments.size} MiB: the system needs at least 1536 MiB")
    return arguments


def interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    signal.signal(signal.SIGTERM, interrupt)
    progress = Progress()
    cache: Path = arguments.cache_dir.expanduser().resolve()
    image = cache / f"debian-{arguments.suite}-docker-{cache_key(arguments)}.raw"
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    try:
        if image.exists() and checksum_file(image).exists() and not arguments.rebuild:
            progress.say("The image is in the cache")
        else:
            missing = missing_requirements(as_root=os.geteuid() == 0)
            if missing:
                raise BuildError(f"Debian packages are missing on this machine: install {', '.join(missing)}.")
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as work:
                build(image, arguments, Path(work), progress)
            progress.say("The image is built")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing is left in the cache.", file=sys.stderr)
        return 130
    print(image)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
