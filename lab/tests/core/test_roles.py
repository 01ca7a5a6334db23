# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Accounts are subjects, whose roles say what they may do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_client import NULL, Api, Failure
from xapi_lab.testing import Lab

ACCOUNTS = [
    {"name": role, "password": "p", "role": role} for role in ("pool-operator", "vm-admin", "read-only", "client-cert")
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(accounts=ACCOUNTS) as running:
        yield running


def login(api: Api, name: str) -> str:
    session: str = api.request("session.login_with_password", name, "p")
    return session


def refusal(api: Api, method: str, *params: object) -> list[str]:
    with pytest.raises(Failure) as failure:
        api.request(method, *params)
    return failure.value.details


def role(api: Api, name: str) -> str:
    ref: str = api("role.get_by_name_label", name)[0]
    return ref


def subject(api: Api, name: str) -> str:
    found = api("subject.get_all_records")
    return next(ref for ref, record in found.items() if record["subject_identifier"] == name)


def test_a_session_says_whose_it_is(api: Api) -> None:
    session = api("session.get_record", login(api, "vm-admin"))
    assert (session["subject"], session["auth_user_sid"]) == (subject(api, "vm-admin"), "vm-admin")
    assert {"vm-admin", "vm.start"} <= set(session["rbac_permissions"])
    assert session["is_local_superuser"] is False
    own = api("session.get_record", api.session)
    assert (own["subject"], own["auth_user_sid"], own["rbac_permissions"]) == (NULL, "", [])


def test_who_may_say_where_a_vm_runs(api: Api) -> None:
    """Certificates may; a vm-admin may not, though a role between them in the list of roles may."""
    vm, host = api.vm("somewhere", disk=False, nic=False), api("host.get_all")[0]
    denied = refusal(api, "VM.start_on", login(api, "vm-admin"), vm, host, False, False)
    allowed = "pool-admin, pool-operator, vm-power-admin, client-cert"
    assert denied == [
        "RBAC_PERMISSION_DENIED", "vm.start_on", f"No permission in user session. (Roles with this permission: {allowed})",
    ]  # fmt: skip
    api.request("VM.start_on", login(api, "client-cert"), vm, host, False, False)
    assert api("VM.get_power_state", vm) == "Running"


def test_roles_that_are_added_and_taken_count_at_the_next_login(api: Api) -> None:
    person, operator = subject(api, "read-only"), role(api, "pool-operator")
    api("subject.add_to_roles", person, operator)
    assert refusal(api, "subject.add_to_roles", api.session, person, operator) == ["ROLE_ALREADY_EXISTS"]
    api.request("network.create", login(api, "read-only"), {"name_label": "n", "other_config": {}})
    api("subject.remove_from_roles", person, operator)
    assert refusal(api, "subject.remove_from_roles", api.session, person, operator) == ["ROLE_NOT_FOUND"]
    denied = refusal(api, "network.create", login(api, "read-only"), {"name_label": "n", "other_config": {}})
    assert denied[:2] == ["RBAC_PERMISSION_DENIED", "network.create"]
    assert refusal(api, "subject.add_to_roles", api.session, person, "OpaqueRef:nobody") == ["ROLE_NOT_FOUND"]


def test_who_has_no_role_or_is_no_subject_cannot_log_in(tmp_path: Path) -> None:
    options = {"accounts": [{"name": "ann", "password": "p", "role": "read-only"}]}
    with Lab(state_dir=tmp_path / "state", **options) as lab:
        api = Api(lab)
        (person,) = api("subject.get_all")
        api("subject.remove_from_roles", person, role(api, "read-only"))
        text = "Subject ann (identifier ann) has no roles in this pool"
        assert refusal(api, "session.login_with_password", "ann", "p") == ["RBAC_PERMISSION_DENIED", "ann", text]
        api("subject.destroy", person)
        text = "Subject ann (identifier ann) has no access rights in this pool"
        assert refusal(api, "session.login_with_password", "ann", "p") == ["SESSION_AUTHORIZATION_FAILED", "ann", text]
    with Lab(state_dir=tmp_path / "state", **options) as lab:
        api = Api(lab)
        assert api("subject.get_all") == []
        made = api("subject.create", {"subject_identifier": "ann", "other_config": {}})
        assert api("subject.get_roles", made) == []
        again = refusal(api, "subject.create", api.session, {"subject_identifier": "ann", "other_config": {}})
        assert again == ["SUBJECT_ALREADY_EXISTS"]
        api("subject.add_to_roles", made, role(api, "vm-operator"))
        assert login(api, "ann")
        assert api("subject.get_permissions_name_label", made) == api(
            "role.get_permissions_name_label", role(api, "vm-operator")
        )


def test_the_sessions_of_a_subject_are_found_and_ended(api: Api) -> None:
    session = login(api, "pool-operator")
    assert "pool-operator" in api("session.get_all_subject_identifiers")
    api("session.logout_subject_identifier", "pool-operator")
    assert refusal(api, "VM.get_all", session) == ["SESSION_INVALID", session]
    assert "pool-operator" not in api("session.get_all_subject_identifiers")
