# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever users write, in the types that Ansible lets through: an error that names the option, or what comes to the pool as it is."""

from __future__ import annotations

import typing as t
import xmlrpc.client

import pytest
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool import (
    group_plan,
    image_plan,
    network_facts,
    snapshot_plan,
    vm_filter,
    vm_spec,
)
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_options
from ansible_collections.hardshell.xen.plugins.module_utils._pool.option_checks import refuse_unwritable
from ansible_collections.hardshell.xen.plugins.module_utils._pool.session import to_wire
from ansible_collections.hardshell.xen.plugins.module_utils._pool.sizes import parse_size
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy import publish_plan, quota_spec
from ansible_collections.hardshell.xen.plugins.modules import (
    container_publish,
    image,
    network,
    tenant_quota,
    vm,
    vm_group,
    vm_info,
    vm_snapshot,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Parameters = dict[str, t.Any]
SPECS: dict[str, tuple[t.Any, t.Callable[[Parameters], t.Any]]] = {
    "vm": (vm, vm_spec.vm_spec),
    "vm_snapshot": (vm_snapshot, lambda given: snapshot_plan.snapshot_spec(given, vm_spec.vm_named(given))),
    "vm_group": (vm_group, group_plan.group_spec),
    "vm_info": (vm_info, vm_filter.vm_filter),
    "network": (network, network_facts.network_spec),
    "image": (image, image_plan.image_spec),
    "tenant_quota": (tenant_quota, quota_spec.quota_spec),
    "container_publish": (container_publish, lambda given: publish_plan.publish_spec(given, check_mode=False)),
}
CONNECTION = {"xapi_host": ["xen1"], "xapi_password": "secret"}

numbers = st.one_of(st.integers(-2, 70000), st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**30]))
texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "", " ", "a\x00b", "a\rb", "\ud800", "\uffff", 'a"b', "a\\b", "it's", "\u202eabc", "é" * 300, "x" * 70000, "0", "-1",
            "1GiB", "9" * 30 + "TiB", "1" + "0" * 400, "9.9" + "9" * 50 + "TiB", "nan", "1e9", "٣GiB", "none", "true",
            "192.0.2.1", "fe80::1", "02:00:00:00:00:01", "/acme", "//", "debian", "acme", "shop", "1d", "99999999999w", "sha256:" + "0" * 64,
        ]
    ),
)  # fmt: skip
keys = st.one_of(
    st.text(max_size=6), st.sampled_from(["folder", "hardshell:vm", "vm-data/a", "destroy", "mac_seed", "a\x01"])
)
plain = st.one_of(st.none(), st.booleans(), numbers, st.floats(), texts)
free = st.dictionaries(keys, st.one_of(plain, st.lists(plain, max_size=2)), max_size=3)


def values(option: dict[str, t.Any]) -> st.SearchStrategy[t.Any]:
    """Values that Ansible lets through for an option, and more absurd ones of its type."""
    kind = option.get("type", "str")
    if option.get("choices"):
        one: st.SearchStrategy[t.Any] = st.sampled_from(list(option["choices"]))
        return st.lists(one, max_size=3) if kind == "list" else one
    if kind == "list":
        return st.lists(values({**option, "type": option.get("elements", "str")}), max_size=3)
    if kind == "dict":
        return parameters_of(option["options"]) if option.get("options") else free
    known: dict[str, st.SearchStrategy[t.Any]] = {"int": numbers, "bool": st.booleans()}
    return known.get(kind, texts)


def parameters_of(spec: dict[str, t.Any]) -> st.SearchStrategy[Parameters]:
    required = {name: values(option) for name, option in spec.items() if option.get("required")}
    given_too = {name: values(option) for name, option in spec.items() if not option.get("required")}
    return st.fixed_dictionaries(required, optional=given_too)


@st.composite
def tasks(draw: st.DrawFn, module: t.Any) -> Parameters:
    """A task's options: a few of them hostile, the others sound, so that what is behind the first check is reached too."""
    own = {name: option for name, option in module.DEFINITION.argument_spec.items() if not name.startswith("xapi_")}
    sound = {"name": "shop", "tenant": "acme", "snapshot": "before", "state": "present"}
    chosen = draw(st.lists(st.sampled_from(sorted(own)), max_size=4, unique=True))
    return {
        **CONNECTION,
        **{name: sound[name] for name in own if name in sound},
        **{name: draw(values(own[name])) for name in chosen},
    }


def validated(module: t.Any, task: Parameters) -> Parameters | None:
    """The parameters as a module gets them, None where Ansible refuses them itself."""
    definition = module.DEFINITION
    validator = ModuleArgumentSpecValidator(definition.argument_spec, **definition.constraints())
    try:
        result = validator.validate(task)
    except (ValueError, OverflowError, TypeError):
        return None
    return None if result.error_messages else result.validated_parameters


def travels(value: t.Any) -> bool:
    """Whether a value comes out of XML-RPC as it went in."""
    sent = (to_wire(value),)
    (come,), _method = xmlrpc.client.loads(xmlrpc.client.dumps(sent, "VM.set").encode())
    return (come,) == sent


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_task_is_refused_by_name_or_can_be_sent(name: str, data: st.DataObject) -> None:
    module, spec_of = SPECS[name]
    parameters = validated(module, data.draw(tasks(module)))
    if parameters is None:
        return
    error = refusal(spec_of, parameters)
    if error is not None:
        assert "\n" not in error.message
        if isinstance(error, OptionError):
            assert error.message.startswith(error.option)
            assert error.option.partition(".")[0].partition("[")[0] in parameters
        return
    assert travels(
        list(leaves({key: each for key, each in parameters.items() if key not in ("config_drive", "engine")}))
    )


def leaves(value: t.Any) -> t.Iterator[str | int]:
    """The texts and whole numbers in a value. What is not given is None, and is not sent."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, (str, int)):
        yield value


def refusal(spec_of: t.Callable[[Parameters], t.Any], parameters: Parameters) -> HardshellError | None:
    try:
        spec_of(parameters)
    except HardshellError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("parameters", "option"),
    [
        ({"description": "a\x07b"}, "description"),
        ({"tags": ["gold", "a\rb"]}, "tags[1]"),
        ({"other_config": {"a": {"b": "\ufffe"}}}, "other_config.a.b"),
        ({"xenstore_data": {"vm-data/\x1b": "x"}}, "xenstore_data"),
        ({"disks": [{"name": "data", "description": "\udc80"}]}, "disks[0].description"),
        ({"config_drive": {"user_data": "\ud800"}}, "config_drive.user_data"),
        ({"description": "é" * 40000}, "description"),
    ],
)
def test_what_xml_does_not_carry_is_named_by_its_place(parameters: Parameters, option: str) -> None:
    with pytest.raises(OptionError) as refused:
        refuse_unwritable(parameters)
    assert refused.value.option == option
    assert refused.value.message.isprintable()


def test_a_secret_that_cannot_be_sent_is_not_shown() -> None:
    connection: Parameters = {
        **dict.fromkeys(["xapi_ca_path", "xapi_fingerprint", "xapi_session"]),
        "xapi_host": ["xen1"],
        "xapi_username": "root",
        "xapi_password": "sesame\x00",
        "xapi_validate_certs": True,
        "xapi_timeout": 60,
    }
    with pytest.raises(OptionError, match="xapi_password") as refused:
        connection_options(connection)
    assert "sesame" not in refused.value.message
    with pytest.raises(OptionError, match="xapi_timeout"):
        connection_options({**connection, "xapi_password": "sesame", "xapi_timeout": 10**12})


def test_what_a_guest_reads_may_hold_what_it_likes() -> None:
    refuse_unwritable(
        {"config_drive": {"user_data": "#!/bin/sh\r\n\x1b" + "x" * 100_000}, "description": "two\nlines\tof it"}
    )


@pytest.mark.parametrize("written", ["9" * 30, "9" * 5000, "2000PiB", "9.9" + "9" * 500 + "TiB", "1048577TiB"])
def test_sizes_beyond_any_pool_are_refused(written: str) -> None:
    with pytest.raises(OptionError, match="memory"):
        parse_size("memory", written)
