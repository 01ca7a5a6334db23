# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What is on a config drive: cloud-init's NoCloud layout, and OpenStack's beside it, which Ignition reads too. Pure."""

from __future__ import annotations

import json
import typing as t

from .._errors import OptionError
from . import ignition
from .drive_spec import DriveSpec
from .iso9660 import iso9660
from .ssh_host_key import SshHostKey

LABEL = "cidata"
NIC_REFERENCE = "nic:"
CLOUD_CONFIG = "#cloud-config\n"


def config_drive_image(
    drive: DriveSpec, *, vm_uuid: str, hostname: str, macs: t.Mapping[str, str], key: SshHostKey | None
) -> bytes:
    """The bytes of the drive. ``macs`` maps the names of the VM's interfaces to their MAC addresses.

    The instance id changes with the content, so that cloud-init takes new content up at the next boot.
    """
    instance = f"{vm_uuid}-{drive.sha256()[:8]}"
    meta_data = {"local-hostname": hostname, **(drive.meta_data or {}), "instance-id": instance}
    config = ignition.read_ignition(drive.user_data)
    user_data = drive.user_data
    if config is not None and key is not None:
        user_data = _as_yaml(ignition.with_host_key(config, key))
    files = {
        "user-data": user_data,
        "meta-data": _as_yaml(meta_data),
        "openstack/latest/user_data": user_data,
        "openstack/latest/meta_data.json": _as_yaml({"uuid": instance, "hostname": meta_data["local-hostname"]}),
    }
    vendor_data = _vendor_data(drive.vendor_data, key) if config is None else ""
    if vendor_data:
        files["vendor-data"] = vendor_data
        files["openstack/latest/vendor_data.json"] = _as_yaml({"cloud-init": vendor_data})
    if drive.network_config:
        files["network-config"] = _as_yaml(with_macs(drive.network_config, macs))
    return iso9660(
        LABEL if config is None else ignition.LABEL, {path: content.encode() for path, content in files.items()}
    )


def _vendor_data(given: str, key: SshHostKey | None) -> str:
    """What the user gave, and the host key after it: of the parts of an archive that set the same key, the last counts (handlers/cloud_config.py)."""
    if key is None:
        return given
    keys: dict[str, t.Any] = {"ssh_keys": {"ed25519_private": key.private, "ed25519_public": key.public}}
    if not given:
        return CLOUD_CONFIG + _as_yaml(keys)
    last = CLOUD_CONFIG + _as_yaml({**keys, "merge_how": "dict(replace)+list()+str()"})
    return "#cloud-config-archive\n" + _as_yaml([{"content": given}, {"content": last}])


def with_macs(value: t.Any, macs: t.Mapping[str, str]) -> t.Any:
    """``network_config`` with the MAC address in the place of each ``nic:NAME``. Raises ``OptionError`` for an unknown name."""
    if isinstance(value, t.Mapping):
        return {key: with_macs(item, macs) for key, item in value.items()}
    if isinstance(value, list):
        return [with_macs(item, macs) for item in value]
    if isinstance(value, str) and value.startswith(NIC_REFERENCE):
        name = value.removeprefix(NIC_REFERENCE)
        if name not in macs:
            raise OptionError(
                "config_drive.network_config",
                value,
                f"name one of the VM's networks: {', '.join(macs) or 'it has none'}",
            )
        return macs[name]
    return value


def _as_yaml(value: t.Any) -> str:
    """JSON, which cloud-init reads as the YAML it is."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
