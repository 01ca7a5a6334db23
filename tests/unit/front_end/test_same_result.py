# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The in-controller front end and the ordinary module give the same result for the same definition.

One real ``ansible-playbook`` run a mode executes every case with both; ``fixtures/`` holds the definition that is run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Result = dict[str, t.Any]
COLLECTION = "hardshell_test.front_end"
FIXTURES = Path(__file__).parent / "fixtures"
PASSWORD = "correct-horse-battery"
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


@dataclass(frozen=True)
class Case:
    args: dict[str, t.Any]
    keywords: dict[str, t.Any] = field(default_factory=dict)


CASES = {
    "values": Case(
        {
            "name": "{{ word }}",
            "count": "5",
            "mapping": "{{ deep }}",
            "nested": [{"key": "{{ password }}", "path": "{{ word }}/x"}],
            "password": "{{ password }}",
        }
    ),
    "alias": Case({"label": "{{ word }}"}),
    "alias and name": Case({"label": "a", "name": "b"}),
    "deprecated option": Case({"name": "a", "old": "x"}),
    "raw": Case({"name": "a", "size": "{{ word }}"}),
    "environment keyword": Case(
        {"name": "a"}, {"environment": {"PROBE_PASSWORD": "from the keyword", "PROBE_LOCALE": "C"}}
    ),
    "environment is put back": Case({"name": "a"}),
    "invocation asked for": Case({"name": "a", "password": PASSWORD}, {"vars": {"ansible_inject_invocation": True}}),
    "warnings": Case({"name": "a", "warnings": ["slow disk", f"never {PASSWORD}"], "password": PASSWORD}),
    "failure": Case({"name": "a", "fail": f"refused: {PASSWORD}", "password": PASSWORD}),
    "unknown option": Case({"name": "a", "nmae": "b"}),
    "unknown nested option": Case({"name": "a", "nested": [{"path": "/x", "pth": "/y"}]}),
    "wrong type": Case({"count": "many"}),
    "wrong choice": Case({"name": "a", "state": "gone"}),
    "nothing": Case({}),
    "missing nested": Case({"name": "a", "nested": [{}]}),
    "mutually exclusive": Case({"count": 1, "size": 2}),
    "required if": Case({"count": 1, "state": "absent"}),
    "wrong type with a secret": Case({"name": "a", "count": PASSWORD, "password": PASSWORD}),
}
IN_CHECK_MODE = ["values", "failure", "wrong type"]
REFUSED = {
    "unknown option": "Unsupported parameters for",
    "unknown nested option": "nested.pth",
    "wrong type": "'many'",
    "wrong choice": "present, absent",
    "nothing": "one of the following is required: name, count",
    "missing nested": "path",
    "mutually exclusive": "count|size",
    "required if": "state is absent",
    "wrong type with a secret": "count",
}
FALL_THROUGH: dict[str, dict[str, t.Any]] = {"async": {"async": 30, "poll": 1}}
if os.geteuid() == 0:  # anybody else would be asked for a password
    FALL_THROUGH["become"] = {"become": True, "become_method": "ansible.builtin.su"}


def variable_of(front_end: str, case: str) -> str:
    return f"{front_end}_{case.replace(' ', '_')}"


def playbook(cases: list[str], results: Path) -> list[dict[str, t.Any]]:
    tasks: list[dict[str, t.Any]] = []
    variables: list[str] = []

    def add(variable: str, module: str, case: Case) -> None:
        variables.append(variable)
        tasks.append(
            {
                "name": variable,
                f"{COLLECTION}.{module}": case.args,
                "register": variable,
                "ignore_errors": True,
                **case.keywords,
            }
        )

    for name in cases:
        add(variable_of("here", name), "in_controller", CASES[name])
        add(variable_of("there", name), "as_module", CASES[name])
    for name, keywords in FALL_THROUGH.items():
        add(f"fall_through_{name}", "in_controller", Case({"name": "a"}, keywords))
    collected = "{" + ", ".join(f"'{variable}': {variable}" for variable in variables) + "}"
    write = {
        "ansible.builtin.copy": {"content": f"{{{{ {collected} | to_json }}}}", "dest": str(results), "mode": "0600"},
        "check_mode": False,
        "diff": False,
    }
    variables_of_play = {
        "word": "web",
        "deep": {"a": "{{ word }}", "b": [1, "{{ word }}", None, True]},
        "password": PASSWORD,
    }
    return [{"hosts": "localhost", "gather_facts": False, "vars": variables_of_play, "tasks": [*tasks, write]}]


@dataclass(frozen=True)
class Run:
    results: dict[str, Result]
    output: str

    def pair(self, case: str) -> tuple[Result, Result]:
        return self.results[variable_of("here", case)], self.results[variable_of("there", case)]


def run_playbook(cases: list[str], folder: Path, *arguments: str) -> Run:
    results = folder / "results.json"
    book = folder / "playbook.yml"
    book.write_text(json.dumps(playbook(cases, results)), encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PROBE_"))},
        "ANSIBLE_COLLECTIONS_PATH": str(FIXTURES),
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_NOCOLOR": "1",
        # The invocation is kept in the results only at this verbosity.
        "ANSIBLE_VERBOSITY": "3",
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(book), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Run(json.loads(results.read_text(encoding="utf-8")), done.stdout + done.stderr)


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_playbook(list(CASES), tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def check_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_playbook(IN_CHECK_MODE, tmp_path_factory.mktemp("check"), "--check", "--diff")


def comparable(result: Result) -> Result:
    """The result without what must differ: which front end ran, and its name."""
    told = json.loads(
        json.dumps(result).replace(f"{COLLECTION}.in_controller", "MODULE").replace(f"{COLLECTION}.as_module", "MODULE")
    )
    return {key: value for key, value in told.items() if key != "in_controller"}


@pytest.mark.parametrize("case", CASES)
def test_both_front_ends_give_the_same_result(case: str, real_run: Run) -> None:
    here, there = real_run.pair(case)
    assert comparable(here) == comparable(there)


@pytest.mark.parametrize("case", IN_CHECK_MODE)
def test_both_front_ends_give_the_same_result_in_check_mode(case: str, check_run: Run) -> None:
    here, there = check_run.pair(case)
    assert comparable(here) == comparable(there)


@pytest.mark.parametrize("case", [case for case in CASES if case not in REFUSED and case != "failure"])
def test_each_front_end_ran_where_it_should(case: str, real_run: Run) -> None:
    here, there = real_run.pair(case)
    assert (here["in_controller"], there["in_controller"]) == (True, False)


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused_with_a_message(case: str, real_run: Run) -> None:
    here, _there = real_run.pair(case)
    assert here["failed"]
    assert REFUSED[case] in here["msg"]


def test_templated_values_arrive_as_plain_data(real_run: Run) -> None:
    here, _there = real_run.pair("values")
    assert here["types"]["values"]["name"] == "str"
    assert here["types"]["values"]["count"] == "int"
    mapping = here["types"]["values"]["mapping"]
    assert mapping["keys"] == ["str"]
    assert mapping["values"] == {"a": "str", "b": {"type": "list", "values": ["int", "str", "NoneType", "bool"]}}


def test_the_environment_keyword_reaches_the_fallback_and_the_code_and_ends_with_the_task(real_run: Run) -> None:
    here, _there = real_run.pair("environment keyword")
    assert here["given"]["password"] == HIDDEN
    assert here["locale"] == "C"
    after, _there = real_run.pair("environment is put back")
    assert after["given"]["password"] is None
    assert after["locale"] is None


def test_a_failure_tells_its_message_and_details(real_run: Run) -> None:
    here, _there = real_run.pair("failure")
    assert here["failed"]
    assert here["msg"] == "refused: ********"
    assert (here["option"], here["seconds"], here["password"]) == ("fail", 3, HIDDEN)


def test_warnings_are_part_of_the_result(real_run: Run) -> None:
    here, _there = real_run.pair("warnings")
    assert here["warnings"] == ["slow disk", "never ********"]


def test_a_deprecated_option_is_told(real_run: Run) -> None:
    here, _there = real_run.pair("deprecated option")
    assert "Param 'old' is deprecated" in here["deprecations"][0]["msg"]


def test_check_and_diff_mode_reach_the_definition(real_run: Run, check_run: Run) -> None:
    really, _there = real_run.pair("values")
    checked, _there = check_run.pair("values")
    assert (really["check_mode"], really["diff"]) == (False, {})
    assert (checked["check_mode"], checked["diff"]) == (True, {"before": "old", "after": "new"})


def test_no_secret_is_shown_anywhere(real_run: Run, check_run: Run) -> None:
    for run in (real_run, check_run):
        assert PASSWORD not in json.dumps(run.results)
        assert PASSWORD not in run.output


def test_progress_is_shown_while_the_task_runs_without_the_secret(real_run: Run) -> None:
    assert "localhost | the password is ********" in real_run.output


@pytest.mark.parametrize("keyword", FALL_THROUGH)
def test_elsewhere_or_as_somebody_else_the_ordinary_module_runs(keyword: str, real_run: Run) -> None:
    result = real_run.results[f"fall_through_{keyword}"]
    assert not result.get("failed"), result
    assert result["in_controller"] is False
