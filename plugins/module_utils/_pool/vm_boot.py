# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a VM boots with and from: firmware, Secure Boot, virtual TPM, boot order. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._errors import OptionError
from .record_calls import SELF, Call, map_calls, vm_call

LETTERS = {"disk": "c", "cd": "d", "network": "n"}
_WORDS = {letter: word for word, letter in LETTERS.items()}
VTPM_TO_BE_MADE = "to be made"
VTPM_RESTRICTION = "restrict_vtpm"
"""XAPI makes one only where this is ``false`` (assert_not_restricted in xapi_vtpm.ml)."""


@dataclass(frozen=True)
class BootSpec:
    """None leaves a thing as it is."""

    firmware: str | None = None
    secure_boot: bool | None = None
    vtpm: bool | None = None
    order: str | None = None


@dataclass(frozen=True)
class Boot:
    """``secure_boot`` is None where the pool decides at start. ``vtpm`` is the reference of the virtual TPM. ``order`` is XAPI's letters."""

    firmware: str = "bios"
    secure_boot: bool | None = False
    vtpm: str | None = None
    order: str = ""

    def facts(self) -> dict[str, t.Any]:
        return {
            "firmware": self.firmware,
            "secure_boot": self.secure_boot,
            "vtpm": self.vtpm is not None,
            "boot_order": [_WORDS.get(letter, letter) for letter in self.order],
        }


def boot_spec(parameters: t.Mapping[str, t.Any]) -> BootSpec:
    """The spec out of the module's parameters. Raises ``OptionError``."""
    order = parameters["boot_order"]
    if order is not None and (not order or len(set(order)) < len(order)):
        raise OptionError("boot_order", order, f"give each of {', '.join(LETTERS)} at most once, and one at least")
    if parameters["secure_boot"] and parameters["firmware"] == "bios":
        raise OptionError("secure_boot", True, "Secure Boot is a feature of UEFI; give firmware: uefi")
    return BootSpec(
        firmware=parameters["firmware"],
        secure_boot=parameters["secure_boot"],
        vtpm=parameters["vtpm"],
        order=None if order is None else "".join(LETTERS[word] for word in order),
    )


def boot_of(record: t.Mapping[str, t.Any]) -> Boot:
    """Out of a VM's record. Without ``firmware`` XAPI boots with BIOS."""
    secure_boot = record["platform"].get("secureboot", "false")
    return Boot(
        firmware=record["HVM_boot_params"].get("firmware", "bios"),
        secure_boot=None if secure_boot == "auto" else secure_boot == "true",
        vtpm=next(iter(record.get("VTPMs", ())), None),
        order=record["HVM_boot_params"].get("order", ""),
    )


def boot_after(spec: BootSpec, boot: Boot, restrictions: t.Mapping[str, str]) -> Boot:
    """As it is to be. Raises ``OptionError`` for Secure Boot without UEFI, and for what the pool has not."""
    firmware = spec.firmware or boot.firmware
    secure_boot = boot.secure_boot if spec.secure_boot is None else spec.secure_boot
    if spec.secure_boot and firmware != "uefi":
        raise OptionError("secure_boot", True, f"the VM boots with {firmware}; give firmware: uefi too, for a new VM")
    if firmware != "uefi" and boot.firmware == "uefi":
        secure_boot = False
    vtpm = boot.vtpm
    if spec.vtpm and not vtpm and restrictions.get(VTPM_RESTRICTION) != "false":
        expected = f"the pool has no virtual TPMs: it is too old for them, or its licence does not allow them ({VTPM_RESTRICTION}); leave it out"
        raise OptionError("vtpm", True, expected)
    if spec.vtpm is not None:
        vtpm = (boot.vtpm or VTPM_TO_BE_MADE) if spec.vtpm else None
    return replace(boot, firmware=firmware, secure_boot=secure_boot, vtpm=vtpm, order=spec.order or boot.order)


def boot_halt_for(before: Boot, after: Boot) -> list[str]:
    """Why a VM that is not halted must be for this."""
    was, will = before.facts(), after.facts()
    names = ("firmware", "secure_boot", "vtpm")
    return [f"{name} changes from {was[name]} to {will[name]}" for name in names if was[name] != will[name]]


def boot_calls(before: Boot, after: Boot) -> list[Call]:
    """What turns one into the other."""
    calls = map_calls("HVM_boot_params", _parameters(before), _parameters(after), "set firmware and boot_order")
    if before.firmware != after.firmware:
        # XAPI fits it to the firmware at the next start where it is missing (xapi_vm_helpers.ml), and only there.
        calls.append(vm_call("remove_from_platform", "device-model", asked="set firmware"))
    calls += map_calls("platform", _platform(before), _platform(after), "set secure_boot")
    if before.vtpm and not after.vtpm:
        calls.append(Call("VTPM.destroy", (before.vtpm,), "remove the virtual TPM"))
    if after.vtpm and not before.vtpm:
        calls.append(Call("VTPM.create", (SELF, False), "add a virtual TPM"))
    return calls


def _parameters(boot: Boot) -> dict[str, str]:
    return {"firmware": boot.firmware, "order": boot.order}


def _platform(boot: Boot) -> dict[str, str]:
    return {"secureboot": "auto" if boot.secure_boot is None else str(boot.secure_boot).lower()}
