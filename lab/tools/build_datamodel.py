# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Make src/xapi_lab/model/datamodel.json from a description of XAPI's data model.

Usage: build_datamodel.py DESCRIPTION.json [OUTPUT.json]

The description lists, for each class, its enums, fields (type, qualifier, default as XAPI prints it) and messages
(parameters, result, roles, errors). The lab's own format keeps what the server needs: fields as
`[type, qualifier, default?]` with defaults as JSON values, messages with the lowest role that may send them, and whether client-cert may.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROLES = ("pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator", "client-cert", "read-only")
WITHOUT_ASYNC = {
    "VM": "set_HVM_boot_policy set_domain_type set_snapshot_schedule get_allowed_VIF_devices get_allowed_VBD_devices"
    " forget_data_source_archives query_data_source record_data_source get_data_sources get_boot_record"
    " set_VCPUs_at_startup set_VCPUs_max set_HVM_shadow_multiplier set_memory_static_min set_memory_static_max"
    " set_memory_dynamic_min set_memory_dynamic_max set_ha_always_run set_ha_restart_priority remove_from_NVRAM"
    " add_to_NVRAM set_NVRAM",
    "VDI": "get_nbd_info set_read_only set_sharable",
    "SR": "forget_data_source_archives query_data_source record_data_source get_data_sources set_physical_size"
    " get_supported_types",
    "host": "emergency_clear_mandatory_guidance emergency_reenable_tls_verification"
    " emergency_disable_tls_verification disable_local_storage_caching enable_local_storage_caching apply_edition"
    " emergency_reset_server_certificate disable_external_auth enable_external_auth get_server_localtime"
    " get_servertime backup_rrds sync_data set_hostname_live shutdown_agent get_system_status_capabilities"
    " management_disable local_management_reconfigure forget_data_source_archives query_data_source"
    " record_data_source get_data_sources emergency_ha_disable list_methods",
    "pool": "set_ext_auth_max_threads set_local_auth_max_threads test_archive_target enable_tls_verification"
    " detect_nonhomogeneous_external_auth disable_external_auth enable_external_auth ha_compute_vm_failover_plan"
    " ha_compute_hypothetical_max_host_failures_to_tolerate ha_compute_max_host_failures_to_tolerate"
    " ha_failover_plan_exists ha_prevent_restarts_for emergency_reset_master emergency_transition_to_master",
    "VMSS": "set_type set_last_run_time remove_from_schedule add_to_schedule set_schedule set_frequency"
    " set_retained_snapshots snapshot_now",
    "subject": "get_permissions_name_label remove_from_roles add_to_roles",
    "role": "get_by_permission_name_label get_by_permission get_permissions_name_label get_permissions",
    "message": "get_all_records_where get_all_records get_by_uuid get_record get_since get_all get destroy create",
}
CLASSES_WITHOUT_ASYNC = {"session", "task", "event"}


def default_value(type_name: str, text: str) -> Any:
    """A default as XAPI prints it, as a JSON value."""
    if text.startswith("{") and text.endswith("}"):
        inner = text[1:-1].strip()
        if "map" in type_name:
            return dict(re.findall(r'"([^"]*)"\s*->\s*"([^"]*)"', inner))
        if not inner:
            return []
        return [int(part) if type_name == "int set" else part for part in inner.split(",")]
    if text in {"Null", "OpaqueRef:NULL"}:
        return "OpaqueRef:NULL"
    if type_name == "bool":
        return text == "true"
    if type_name == "int":
        return int(text)
    if type_name == "float":
        return float(text)
    if text.startswith('"'):
        return text[1:-1]
    return text


CLIENT_CERTIFICATE = "client-cert"
"""A role outside the order of the others: some messages are for it though a higher one may not send them."""


def lowest_role(roles: list[str]) -> str:
    """The least of the roles that may send a message, apart from client-cert's; empty when only root may."""
    ordered = [role for role in roles if role != CLIENT_CERTIFICATE]
    return max(ordered, key=ROLES.index) if ordered else ""


_PLAIN_SETTERS = re.compile(r"(set|add_to|remove_from)_(other_config|platform|blocked_operations)$")


def has_async(class_name: str, message: str, description: dict[str, Any]) -> bool:
    if class_name in CLASSES_WITHOUT_ASYNC or message in WITHOUT_ASYNC.get(class_name, "").split():
        return False
    if _PLAIN_SETTERS.match(message):
        return False
    return not description["implicit"] or message in {"create", "destroy"}


def convert(description: dict[str, Any]) -> dict[str, Any]:
    classes: dict[str, Any] = {}
    enums: dict[str, list[str]] = {}
    for class_name, source in sorted(description["classes"].items()):
        enums.update(source.get("enums", {}))
        fields = {
            name: [field["type"], field["qualifier"]]
            + ([default_value(field["type"], field["default"])] if "default" in field else [])
            for name, field in source["fields"].items()
        }
        messages = {
            name: {
                "params": message["params"],
                "result": message["result"],
                "role": lowest_role(message["roles"]),
                **({"client_cert": 1} if CLIENT_CERTIFICATE in message["roles"] else {}),
                **({"async": 1} if has_async(class_name, name, message) else {}),
                **({"implicit": 1} if message["implicit"] else {}),
                **({"removed": 1} if message["state"] == "Removed" else {}),
            }
            for name, message in source["messages"].items()
        }
        classes[class_name] = {"fields": fields, "messages": messages}
    return {
        "api": description["api"],
        "xapi": description["xapi"],
        "enums": enums,
        "classes": classes,
        "errors": description["errors"],
    }


def main() -> None:
    source = Path(sys.argv[1])
    default = Path(__file__).parent.parent / "src" / "xapi_lab" / "model" / "datamodel.json"
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else default
    target.write_text(json.dumps(convert(json.loads(source.read_text())), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
