"""Several files, include, extends, env files and profiles: what a project's files come to."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.compose_set import (
    ComposeSource,
    compose_set,
)
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError

from .conftest import Controller

BASE = """
services:
  app:
    image: base
    ports: ["8080:80"]
    environment: {FOO: BAR}
"""


def test_a_later_file_goes_over_an_earlier_one(controller: Controller) -> None:
    controller.write("/p/compose.yaml", BASE)
    controller.write("/p/compose.override.yaml", "services: {app: {image: 'base:2', ports: ['8443:443']}}")
    (app,) = controller.load("/p/compose.yaml", "/p/compose.override.yaml").containers.values()
    assert app["image"] == "base:2"
    assert app["ports"] == ["8080:80/tcp", "8443:443/tcp"]


def test_reset_takes_out_and_override_takes_the_place(controller: Controller) -> None:
    controller.write("/p/compose.yaml", BASE)
    controller.write("/p/reset.yaml", "services: {app: {ports: !reset [], environment: {FOO: !reset null}}}")
    controller.write("/p/override.yaml", "services: {app: {ports: !override ['8443:443']}}")
    assert controller.load("/p/compose.yaml", "/p/reset.yaml").containers == {"app": {"image": "base", "restart": "no"}}
    (app,) = controller.load("/p/compose.yaml", "/p/override.yaml").containers.values()
    assert app["ports"] == ["8443:443/tcp"]


def test_what_is_built_is_named_as_an_image(controller: Controller) -> None:
    controller.write("/p/compose.yaml", "services: {app: {build: .}}")
    controller.write("/p/here.yaml", "services: {app: {image: a}}")
    with pytest.raises(OptionError, match=r"^services\.app\.build: .*name it as image"):
        controller.load("/p/compose.yaml")
    found = controller.load("/p/compose.yaml", "/p/here.yaml")
    assert found.containers == {"app": {"image": "a", "restart": "no"}}
    assert found.warnings == ("services.app.build: nothing is built; a is taken as it is",)


def test_anchors_and_extensions_save_writing(controller: Controller) -> None:
    found = controller.compose(
        """
        x-defaults: &defaults {restart: always, x-note: whatever, environment: &env {A: "1", B: "1"}}
        services:
          one: {<<: *defaults, image: a}
          two: {<<: *defaults, image: b, environment: {<<: *env, B: "2"}, x-anything: [1]}
        """
    ).containers
    assert found["one"] == {"image": "a", "restart": "always", "environment": {"A": "1", "B": "1"}}
    assert found["two"] == {"image": "b", "restart": "always", "environment": {"A": "1", "B": "2"}}


def test_extends_within_the_file_and_from_service_to_service(controller: Controller) -> None:
    found = controller.compose(
        """
        services:
          base: {image: busybox, user: root, environment: [TZ=utc, PORT=80], ports: ["80:80"], profiles: [never]}
          common: {extends: base, cap_add: [A]}
          cli: {extends: {service: common}, environment: {PORT: 8080}, cap_add: [B], ports: !override [], profiles: !reset []}
        """
    ).containers
    assert found == {
        "cli": {
            "image": "busybox",
            "restart": "no",
            "user": "root",
            "environment": {"TZ": "utc", "PORT": "8080"},
            "cap_add": ["A", "B"],
        }
    }


def test_extends_from_another_file_whose_relative_paths_are_its_own(controller: Controller) -> None:
    controller.write(
        "/p/common/base.yaml",
        "services: {app: {image: 'a:${TAG}', env_file: one.env, extends: {service: root, file: ../root.yaml}}}",
    )
    controller.write("/p/root.yaml", "services: {root: {image: b, user: me, label_file: app.labels}}")
    controller.write("/p/common/one.env", "WHERE=common")
    controller.write("/p/app.labels", "a.b=c")
    controller.write("/p/two.env", "TWO=2")
    controller.write(
        "/p/compose.yaml", "services: {web: {extends: {service: app, file: common/base.yaml}, env_file: [two.env]}}"
    )
    assert controller.load("/p/compose.yaml", environment={"TAG": "7"}).containers["web"] == {
        "image": "a:7",
        "restart": "no",
        "user": "me",
        "environment": {"WHERE": "common", "TWO": "2"},
        "labels": {"a.b": "c"},
    }


@pytest.mark.parametrize(
    ("services", "message"),
    [
        ("{a: {extends: b}, b: {extends: c}, c: {extends: a}}", "the services extend each other, [abc] -> [abc] -> [abc] -> [abc]"),
        ("{a: {extends: a}}", "the services extend each other, a -> a"),
        ("{a: {extends: b}}", r"services\.a\.extends: 'b' cannot be used; /project/compose.yaml holds no such service"),
        ("{a: {extends: {file: x.yaml, service: b}}}", r"services\.a\.extends\.file: '/project/x.yaml' cannot be used; there is no such file"),
        ("{a: {extends: {service: b, from: x}}}", r"services\.a\.extends\.from"),
        ("{a: {extends: {file: 'https://x/y.yaml', service: b}}}", r"services\.a\.extends\.file: .*fetch it first"),
    ],
)  # fmt: skip
def test_extends_that_leads_nowhere_is_refused(controller: Controller, services: str, message: str) -> None:
    with pytest.raises(HardshellError, match=message):
        controller.compose(f"services: {services}")


def test_a_circle_of_extends_through_two_files_is_refused(controller: Controller) -> None:
    controller.write("/project/other.yaml", "services: {b: {extends: {service: a, file: compose.yaml}}}")
    with pytest.raises(HardshellError, match="extend each other, a -> b -> a"):
        controller.compose("services: {a: {extends: {service: b, file: other.yaml}}}")


def test_include_brings_in_a_project_with_its_own_directory_and_env_file(controller: Controller) -> None:
    controller.write(
        "/p/db/compose.yaml",
        "services: {db: {image: 'redis:${TAG}', env_file: [db.env], volumes: ['data:/data']}}\nvolumes: {data: }",
    )
    controller.write("/p/db/.env", "TAG=7")
    controller.write("/p/db/db.env", "A=${TAG}")
    controller.write("/p/compose.yaml", "include: [db/compose.yaml]\nservices: {web: {image: w, depends_on: [db]}}")
    found = controller.load("/p/compose.yaml").containers
    assert found["db"]["image"] == "redis:7"
    assert found["db"]["volumes"] == ["data:/data"]
    assert found["web"]["links"] == ["db"]
    assert controller.load("/p/compose.yaml", environment={"TAG": "8"}).containers["db"]["image"] == "redis:8"


def test_include_with_several_files_and_a_directory(controller: Controller) -> None:
    controller.write("/x/a.yaml", "services: {db: {image: a, env_file: [e.env]}}")
    controller.write("/x/b.yaml", "services: {db: {image: b}}")
    controller.write("/y/e.env", "A=$V")
    controller.write("/y/v.env", "V=1")
    found = controller.compose(
        "include: [{path: [/x/a.yaml, /x/b.yaml], project_directory: /y, env_file: /y/v.env}]", environment={"V": "0"}
    )
    assert found.containers["db"] == {"image": "b", "restart": "no", "environment": {"A": "0"}}


def test_include_of_what_is_there_already_is_refused(controller: Controller) -> None:
    controller.write("/project/db.yaml", "services: {db: {image: a}}")
    with pytest.raises(OptionError, match=r"^include\[0\]: 'services\.db' .*one of that name too"):
        controller.compose("include: [db.yaml]\nservices: {db: {image: b}}")


def test_files_that_include_each_other_are_refused(controller: Controller) -> None:
    controller.write("/project/a.yaml", "include: [compose.yaml]")
    with pytest.raises(
        HardshellError, match="include each other, /project/compose.yaml -> /project/a.yaml -> /project/compose.yaml"
    ):
        controller.compose("include: [a.yaml]")


def test_variables_come_from_the_task_before_the_env_files(controller: Controller) -> None:
    controller.write("/project/.env", "A=dotenv\nB=dotenv")
    controller.write("/e/one.env", "A=one\nB=one")
    controller.write("/e/two.env", "B=two-$A")
    text = "services: {web: {image: 'i:$A-$B', hostname: $COMPOSE_PROJECT_NAME}}"
    assert controller.compose(text).containers["web"]["image"] == "i:dotenv-dotenv"
    assert controller.compose(text, environment={"A": "task"}).containers["web"]["image"] == "i:task-dotenv"
    given = controller.compose(text, env_files=("/e/one.env", "/e/two.env")).containers["web"]
    assert (given["image"], given["hostname"]) == ("i:one-two-one", "shop")
    assert (
        controller.compose("services: {web: {image: 'i:${A:-none}'}}", env_files=()).containers["web"]["image"]
        == "i:none"
    )


def test_variables_of_the_controllers_own_process_are_not_seen(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRAY", "x")
    assert controller.compose("services: {web: {image: 'i${STRAY}'}}").containers["web"]["image"] == "i"


def test_a_variable_that_is_not_set_is_empty_and_warned_of(controller: Controller) -> None:
    (warning,) = controller.compose("services: {web: {image: 'i$GONE$GONE'}}").warnings
    assert "GONE" in warning


def test_environment_over_env_files_and_names_alone(controller: Controller) -> None:
    controller.write("/project/one.env", "A=one\nB=one\nC=one\nD=$A$OWN")
    controller.write("/project/raw.env", "R='$A'")
    found = controller.compose(
        """
        services:
          web:
            image: i
            env_file: [one.env, {path: raw.env, format: raw}, {path: none.env, required: false}]
            environment: [B=own, OWN=2, C, TASK]
        """,
        environment={"TASK": "task"},
    ).containers["web"]
    assert found["environment"] == {"A": "one", "B": "own", "D": "one2", "OWN": "2", "R": "'$A'", "TASK": "task"}


def test_an_env_file_that_is_missing_is_refused(controller: Controller) -> None:
    with pytest.raises(
        OptionError, match=r"^services\.web\.env_file\[0\]: '/project/x.env' .*no such file on the controller"
    ):
        controller.compose("services: {web: {image: i, env_file: x.env}}")


PROFILES = """
services:
  foo: {image: foo}
  bar: {image: bar, profiles: [test]}
  baz: {image: baz, depends_on: [bar], profiles: [test]}
  zot: {image: zot, depends_on: [bar], profiles: [debug]}
"""


@pytest.mark.parametrize(
    ("profiles", "enabled"),
    [
        ((), {"foo"}),
        (("test",), {"foo", "bar", "baz"}),
        (("test", "debug"), {"foo", "bar", "baz", "zot"}),
        (("*",), {"foo", "bar", "baz", "zot"}),
    ],
)
def test_profiles(controller: Controller, profiles: tuple[str, ...], enabled: set[str]) -> None:
    assert controller.compose(PROFILES, profiles=profiles).containers.keys() == enabled


def test_profiles_may_come_from_their_variable(controller: Controller) -> None:
    assert "bar" in controller.compose(PROFILES, environment={"COMPOSE_PROFILES": "test,other"}).containers
    assert "bar" not in controller.compose(PROFILES, environment={"COMPOSE_PROFILES": "test"}, profiles=()).containers


def test_what_depends_on_a_service_that_is_not_enabled_is_refused(controller: Controller) -> None:
    with pytest.raises(OptionError, match=r"^services\.zot\.depends_on\.bar: .*no profile that is given enables"):
        controller.compose(PROFILES, profiles=("debug",))


def test_a_dependency_that_is_not_required_may_be_disabled(controller: Controller) -> None:
    text = PROFILES.replace("[bar], profiles: [debug]", "{bar: {condition: service_started, required: false}}")
    assert "links" not in controller.compose(text).containers["zot"]
    assert controller.compose(text, profiles=("test",)).containers["zot"]["links"] == ["bar"]


def test_a_service_that_is_not_enabled_may_say_what_is_not_supported(controller: Controller) -> None:
    assert controller.compose("services: {a: {image: a}, b: {build: ., profiles: [dev]}}").containers.keys() == {"a"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: {}", "no service that is enabled"),
        ("services: {a: {image: a, profiles: [x]}}", "no service that is enabled"),
        ("services: [a]", "^services: "),
        ("services: {a: redis}", r"^services\.a: 'str'"),
        ("services: {-app: {image: a}}", r"^services\.-app: .*letters, digits"),
        ("services: {App: {image: a}, app: {image: a}}", r"^services\.app: .*another service is called app"),
        ("services: {a: {}}", r"^services\.a\.image: "),
        ("services: {a: {image: a, restrt: always}}", r"^services\.a\.restrt: .*did you mean 'restart'"),
        ("services: {a: {image: a, deploy: 3}}", r"^services\.a\.deploy: .*write a mapping"),
        (
            "services: {a: {image: a, volumes: [{type: bind, sorce: /a, target: /b}]}}",
            r"^services\.a\.volumes\[0\]\.sorce: .*'source'",
        ),
        ("service: {}", "^service: .*'services'"),
    ],
)
def test_what_is_no_set_is_refused_by_name(controller: Controller, text: str, message: str) -> None:
    with pytest.raises(HardshellError, match=message):
        controller.compose(text)


def inline(tree: dict[str, t.Any], **source: t.Any) -> dict[str, t.Any]:
    return compose_set("shop", ComposeSource(inline=tree, **source), {"/e/one.env": "A=1"}.get).containers


def test_a_document_given_inline_is_the_same(controller: Controller) -> None:
    tree = {"services": {"web": {"image": "i:$TAG", "ports": ["80"], "environment": ["A=1"]}}}
    text = "services: {web: {image: 'i:$TAG', ports: [80], environment: [A=1]}}"
    assert inline(tree, environment={"TAG": "7"}) == controller.compose(text, environment={"TAG": "7"}).containers


def test_files_named_inline_need_absolute_paths() -> None:
    assert inline({"services": {"a": {"image": "a", "env_file": "/e/one.env"}}})["a"]["environment"] == {"A": "1"}
    with pytest.raises(OptionError, match=r"^services\.a\.env_file\[0\]: .*in no directory"):
        inline({"services": {"a": {"image": "a", "env_file": "one.env"}}})


def test_a_number_among_inline_ports_is_refused_because_it_may_have_been_two() -> None:
    with pytest.raises(OptionError, match=r"^services\.a\.ports\[1\]: 1342 .*in quotes"):
        inline({"services": {"a": {"image": "a", "ports": [{"target": 80}, 1342]}}})


def test_a_truth_value_in_an_inline_environment_is_refused_because_it_may_have_been_a_word() -> None:
    with pytest.raises(OptionError, match=r"^services\.a\.environment\.A: True cannot be used; put it in quotes"):
        inline({"services": {"a": {"image": "a", "environment": {"A": True}}}})
