# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Copyright: hardshell.xen contributors
"""What is in the guest that ``build_debian_image.py`` builds: packages, files, and which units run."""

from __future__ import annotations

import json
from pathlib import Path

PACKAGES = (
    "apparmor",
    "ca-certificates",
    "cloud-guest-utils",
    "cloud-init",
    "dbus",
    "docker.io",
    # From Debian 13 on the command line is a package of its own; before there is none of this name, which a pattern may say.
    "?exact-name(docker-cli)",
    "e2fsprogs",
    "fdisk",
    "initramfs-tools",
    "iproute2",
    "iptables",
    "linux-image-cloud-amd64",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    "qemu-guest-agent",
    "sudo",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
    "xenstore-utils",
    "zstd",
)

GRUB_CONFIG = """\
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=0
menuentry "Debian GNU/Linux" {
    linux /vmlinuz root=LABEL=root ro console=tty0 console=ttyS0,115200 quiet
    initrd /initrd.img
}
"""

# The root disk, the network and the config drive must be reachable whether the hypervisor offers Xen's own devices,
# the ones it emulates (IDE, NVMe) or virtio.
INITRAMFS_MODULES = (
    "ata_piix",
    "ext4",
    "isofs",
    "nls_ascii",
    "nls_cp437",
    "nvme",
    "sd_mod",
    "sr_mod",
    "vfat",
    "virtio_blk",
    "virtio_net",
    "virtio_pci",
    "virtio_scsi",
    "xen-blkfront",
    "xen-netfront",
)

# Written before the kernel is installed, because the initramfs is made then.
EARLY_FILES = {
    "/etc/initramfs-tools/conf.d/hardshell": "MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=9\nRESUME=none\nFSTYPE=ext4\n",
    "/usr/share/initramfs-tools/modules.d/hardshell": "".join(f"{name}\n" for name in INITRAMFS_MODULES),
}

# Without the modules for other distributions, other configuration managers and packages that the image does not have:
# loading them is a good part of the boot on a slow machine. An RSA host key that the config drive did not bring would
# cost half a minute there.
CLOUD_INIT_MODULES = """\
ssh_genkeytypes: [ed25519]
cloud_init_modules:
  - seed_random
  - bootcmd
  - write-files
  - growpart
  - resizefs
  - disk_setup
  - mounts
  - set_hostname
  - update_hostname
  - update_etc_hosts
  - ca-certs
  - users-groups
  - ssh
cloud_config_modules:
  - set-passwords
  - ntp
  - timezone
  - runcmd
cloud_final_modules:
  - package-update-upgrade-install
  - write-files-deferred
  - scripts-vendor
  - scripts-per-once
  - scripts-per-boot
  - scripts-per-instance
  - scripts-user
  - final-message
  - power-state-change
"""

# What the role container_host asks of an engine without being told, so that it finds it here and need not restart the engine.
DAEMON = {"live-restore": True, "log-driver": "json-file", "log-opts": {"max-file": "3", "max-size": "10m"}}

# What tells XAPI the guest's addresses; its unit is started where there is a xenstore.
AGENT_FILES = {
    "/usr/local/lib/hardshell/hardshell-guest-agent.sh": Path(__file__).with_name("hardshell-guest-agent.sh"),
    "/etc/systemd/system/hardshell-guest-agent.service": Path(__file__).with_name("hardshell-guest-agent.service"),
}

LATE_FILES = {
    **{path: source.read_text(encoding="utf-8") for path, source in AGENT_FILES.items()},
    "/etc/docker/daemon.json": json.dumps(DAEMON, indent=4, sort_keys=True) + "\n",
    "/boot/grub/grub.cfg": GRUB_CONFIG,
    "/etc/fstab": "LABEL=root / ext4 defaults,noatime,errors=remount-ro 0 1\n",
    "/etc/hostname": "debian\n",
    "/etc/machine-id": "",
    "/etc/cloud/cloud.cfg.d/90_datasources.cfg": (
        "# Only drives are looked for, so that a boot never waits for a metadata service.\n"
        "datasource_list: [NoCloud, ConfigDrive, None]\n"
    ),
    "/etc/cloud/cloud.cfg.d/91_network.cfg": "system_info:\n  network:\n    renderers: [networkd]\n",
    "/etc/cloud/cloud.cfg.d/92_modules.cfg": CLOUD_INIT_MODULES,
    # cloud-init orders itself after this unit: one configured link is enough, and none is no reason to wait for long.
    "/etc/systemd/system/systemd-networkd-wait-online.service.d/limit.conf": (
        "[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30\n"
    ),
}

# AppArmor is there for Docker's own profile; compiling profiles of programs that the image does not run only costs time.
UNUSED_APPARMOR_PROFILES = ("lsb_release", "nvidia_modprobe")

MASKED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "man-db.timer",
    "systemd-pstore.service",
)

ENABLED_UNITS = (
    "docker.service",
    "hardshell-guest-agent.service",
    "serial-getty@ttyS0.service",
    "ssh.service",
    "systemd-networkd.service",
)

LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
)

REMOVED = (
    "/etc/ssh/ssh_host_*",
    "/var/cache/apt/*.bin",
    "/var/cache/debconf/*-old",
    "/var/lib/apt/lists/*_*",
    "/var/lib/dbus/machine-id",
    "/var/log/*.log",
    "/var/log/apt",
)
