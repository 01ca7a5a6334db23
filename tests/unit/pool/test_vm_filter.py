# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_filter import VmFilter, vm_filter


def record(**changed: t.Any) -> dict[str, t.Any]:
    own = {"hardshell:tenant": "acme", "hardshell:host": "acme-shop", "hardshell:vm": "u1", "folder": "/shop/web"}
    return {
        "uuid": "u1",
        "name_label": "shop",
        "is_a_template": False,
        "is_a_snapshot": False,
        "is_control_domain": False,
        "tags": ["tenant:acme", "gold"],
        "other_config": own,
        **changed,
    }


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"names": ["shop"]},
        {"names": ["other", "sh*"]},
        {"tenants": ["globex", "acme"]},
        {"inventory_hosts": ["acme-shop"]},
        {"tags": ["gold"]},
        {"tags": ["gold", "tenant:acme"]},
        {"folder": "/shop"},
        {"folder": "shop/web/"},
        {"folder": "/"},
    ],
)
def test_fits(wanted: dict[str, t.Any]) -> None:
    assert vm_filter(wanted).accepts(record())


@pytest.mark.parametrize(
    "wanted",
    [
        {"names": ["SHOP"]},
        {"names": ["sho"]},
        {"tenants": ["globex"]},
        {"inventory_hosts": ["shop"]},
        {"tags": ["gold", "silver"]},
        {"folder": "/sho"},
        {"folder": "/shop/web/1"},
        {"tenants": ["acme"], "tags": ["silver"]},
    ],
)
def test_does_not_fit(wanted: dict[str, t.Any]) -> None:
    assert not vm_filter(wanted).accepts(record())


@pytest.mark.parametrize("kind", ["is_a_template", "is_a_snapshot", "is_control_domain"])
def test_what_is_no_vm_never_fits(kind: str) -> None:
    assert not VmFilter().accepts(record(**{kind: True}))


def test_the_marks_of_a_clone_are_not_its_own() -> None:
    assert not vm_filter({"tenants": ["acme"]}).accepts(record(uuid="u2"))


def test_the_pool_is_asked_for_what_it_can_tell() -> None:
    real = '((field "is_a_template" = "false") and (field "is_control_domain" = "false"))'
    assert VmFilter().pool_expression() == real
    asked = vm_filter({"names": ["a", "b"], "uuids": ["u"], "power_states": ["running"], "expression": "true"})
    assert asked.pool_expression() == (
        f'{real} and ((field "name__label" = "a") or (field "name__label" = "b")) and ((field "uuid" = "u"))'
        ' and ((field "power_state" = "Running")) and (true)'
    )


def test_the_pool_is_not_asked_for_patterns() -> None:
    assert "name__label" not in vm_filter({"names": ["a", "b*"]}).pool_expression()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"names": ['a"b']}, "filters.names: 'a\"b' cannot be used"),
        ({"power_states": ["on"]}, "filters.power_states: 'on' cannot be used"),
        ({"name": "a"}, "filters.name: 'a' cannot be used; the filters are names, "),
        ({"tags": {"a": 1}}, "filters.tags: {'a': 1} cannot be used; give a list"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(given: dict[str, t.Any], said: str) -> None:
    with pytest.raises(OptionError) as refused:
        vm_filter(given, "filters.")
    assert refused.value.message.startswith(said)
