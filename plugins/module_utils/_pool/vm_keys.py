# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The free keys of a VM's maps, its folder, and the operations that are blocked. Pure.

A map is never written as a whole: only the keys that are asked for, one by one, so that what XAPI and others keep beside them stays.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from .._errors import OptionError
from . import marks
from .pool_facts import near_names
from .record_calls import Call, map_calls
from .vm_availability import AUTO_POWER_ON

FOLDER = "folder"
DESTROY = "destroy"
PROTECTION = "hardshell.xen: delete_protection"
Wanted = t.Mapping[str, t.Optional[str]]  # noqa: UP045  # read by pylint as Python 3.8

# What XAPI, or an option or module of this collection, keeps in these maps: not for free writing, and not shown.
_RESERVED: dict[str, dict[str, str]] = {
    "other_config": {
        FOLDER: "the option folder",
        AUTO_POWER_ON: "the option auto_power_on",
        **dict.fromkeys(("docker_ps", "docker_info", "docker_version"), "the module container_publish"),
        "xscontainer-monitor": "the module container_publish",
        **dict.fromkeys(
            ("mac_seed", "base_template_name", "default_template", "xensource_internal", "disks", "import_task"), "XAPI"
        ),
    },
    "platform": {
        "secureboot": "the option secure_boot",
        "vtpm": "the option vtpm",
        "cores-per-socket": "the option cores_per_socket",
        **dict.fromkeys(("device-model", "timeoffset", "featureset", "generation-id"), "XAPI"),
    },
    "xenstore_data": {},
}
# The keys of VM.blocked_operations (XAPI's enumeration vm_operations) that stand for something a client asks for.
OPERATIONS = (
    "snapshot", "clone", "copy", "revert", "checkpoint", "provision", "start", "start_on", "pause", "unpause",
    "clean_shutdown", "clean_reboot", "hard_shutdown", "power_state_reset", "hard_reboot", "suspend", "resume",
    "resume_on", "pool_migrate", "migrate_send", "send_sysrq", "send_trigger", "query_services", "shutdown",
    "call_plugin", "changing_memory_live", "changing_dynamic_range", "changing_static_range",
    "changing_memory_limits", "changing_shadow_memory", "changing_shadow_memory_live", "changing_VCPUs",
    "changing_VCPUs_live", "changing_NVRAM", "data_source_op", "make_into_template", "export", "metadata_export",
    "destroy", "create_vtpm", "sysprep",
)  # fmt: skip


@dataclass(frozen=True)
class KeysSpec:
    """Keys that are to have a value, or with None none. Everything else is left alone."""

    other_config: Wanted = field(default_factory=dict)
    platform: Wanted = field(default_factory=dict)
    xenstore_data: Wanted = field(default_factory=dict)
    blocked: Wanted = field(default_factory=dict)
    delete_protection: bool | None = None
    folder: str | None = None


@dataclass(frozen=True)
class Keys:
    """The free keys as they are; ``blocked`` maps operations to why."""

    other_config: t.Mapping[str, str] = field(default_factory=dict)
    platform: t.Mapping[str, str] = field(default_factory=dict)
    xenstore_data: t.Mapping[str, str] = field(default_factory=dict)
    blocked: t.Mapping[str, str] = field(default_factory=dict)
    folder: str = ""

    def facts(self) -> dict[str, t.Any]:
        return {
            "folder": self.folder,
            "delete_protection": DESTROY in self.blocked,
            "blocked_operations": dict(sorted(self.blocked.items())),
            "other_config": dict(sorted(self.other_config.items())),
            "platform": dict(sorted(self.platform.items())),
            "xenstore_data": dict(sorted(self.xenstore_data.items())),
        }


def keys_spec(parameters: t.Mapping[str, t.Any]) -> KeysSpec:
    """The spec out of the module's parameters. Raises ``OptionError`` for keys that are not the user's to set."""
    folder = parameters["folder"]
    if folder and (not folder.startswith("/") or folder.endswith("/") or "//" in folder):
        raise OptionError("folder", folder, "give a path such as /acme/web, or an empty text for none")
    blocked = _texts("blocked_operations", parameters["blocked_operations"])
    for operation in blocked:
        if operation not in OPERATIONS:
            raise OptionError(
                "blocked_operations", operation, f"no such operation; {near_names(operation, OPERATIONS)}"
            )
    protection = parameters["delete_protection"]
    if protection is not None and DESTROY in blocked:
        raise OptionError(
            "blocked_operations", DESTROY, "delete_protection is given too, and sets it; leave out one of both"
        )
    return KeysSpec(
        other_config=_free("other_config", parameters["other_config"]),
        platform=_free("platform", parameters["platform"]),
        xenstore_data=_free("xenstore_data", parameters["xenstore_data"]),
        blocked=blocked,
        delete_protection=protection,
        folder=folder,
    )


def _texts(option: str, given: t.Mapping[str, t.Any] | None) -> dict[str, str | None]:
    """The values as XAPI keeps them: texts, with lower-case booleans."""
    texts: dict[str, str | None] = {}
    for key, value in (given or {}).items():
        if isinstance(value, (dict, list)):
            raise OptionError(f"{option}.{key}", value, "XAPI keeps texts there; give one, or null to remove the key")
        texts[str(key)] = None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return texts


def _free(field_name: str, given: t.Mapping[str, t.Any] | None) -> dict[str, str | None]:
    wanted = _texts(field_name, given)
    for key in wanted:
        if key.startswith(marks.PREFIX):
            raise OptionError(field_name, key, f"keys that begin with {marks.PREFIX} are this collection's marks")
        if key in _RESERVED[field_name]:
            raise OptionError(field_name, key, f"it is kept by {_RESERVED[field_name][key]}; leave it out")
        if field_name == "xenstore_data" and not key.startswith(("vm-data/", "FIST/")):
            raise OptionError(field_name, key, "XAPI hands only keys below vm-data/ to the guest, such as vm-data/role")
    return wanted


def keys_of(record: t.Mapping[str, t.Any]) -> Keys:
    """Out of a VM's record, without what is not the user's."""
    free = {name: _without_reserved(name, record[name]) for name in _RESERVED}
    folder = record["other_config"].get(FOLDER, "")
    return Keys(**free, blocked=dict(record["blocked_operations"]), folder=folder)


def _without_reserved(field_name: str, present: t.Mapping[str, str]) -> dict[str, str]:
    reserved = _RESERVED[field_name]
    return {key: text for key, text in marks.without_marks(present).items() if key not in reserved}


def keys_of_clone(other_config: t.Mapping[str, str]) -> dict[str, str]:
    """The ``other_config`` that a clone keeps: not what tells whose its source is and what runs in it.

    With ``disks`` XAPI would make the disks of a template anew when it is provisioned.
    """
    gone = ("docker_", "xscontainer-")
    kept = marks.without_marks(other_config)
    return {key: text for key, text in kept.items() if key != "disks" and not key.startswith(gone)}


def keys_after(spec: KeysSpec, keys: Keys) -> Keys:
    """As they are to be. Protection keeps the reason that somebody else gave."""
    blocked = dict(spec.blocked)
    if spec.delete_protection is not None:
        blocked[DESTROY] = keys.blocked.get(DESTROY, PROTECTION) if spec.delete_protection else None
    return replace(
        keys,
        other_config=_merged(keys.other_config, spec.other_config),
        platform=_merged(keys.platform, spec.platform),
        xenstore_data=_merged(keys.xenstore_data, spec.xenstore_data),
        blocked=_merged(keys.blocked, blocked),
        folder=keys.folder if spec.folder is None else spec.folder,
    )


def _merged(present: t.Mapping[str, str], wanted: Wanted) -> dict[str, str]:
    both = {**present, **wanted}
    return {key: value for key, value in both.items() if value is not None}


def keys_calls(before: Keys, after: Keys) -> list[Call]:
    """What turns one into the other."""
    return [
        *map_calls("other_config", _folder(before), _folder(after), "set folder"),
        *map_calls("other_config", before.other_config, after.other_config),
        *map_calls("platform", before.platform, after.platform),
        *map_calls("xenstore_data", before.xenstore_data, after.xenstore_data),
        *map_calls("blocked_operations", before.blocked, after.blocked),
    ]


def _folder(keys: Keys) -> dict[str, str]:
    return {FOLDER: keys.folder} if keys.folder else {}
