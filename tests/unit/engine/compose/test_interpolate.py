"""Variables in Compose files. The cases of the specification's chapter Interpolation, and its reference loader's corner cases."""

from __future__ import annotations

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.interpolate import (
    InterpolationError,
    Variables,
    interpolate,
    interpolate_tree,
)
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from hypothesis import given
from hypothesis import strategies as st

VALUES = {"SET": "first", "EMPTY": "", "JSON": '{"a": 1}'}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no variable", "no variable"),
        ("$SET", "first"),
        ("$SET-x", "first-x"),
        ("$SETx", ""),
        ("${SET}x", "firstx"),
        ("${MISSING}", ""),
        ("${SET:-d} ${EMPTY:-d} ${MISSING:-d}", "first d d"),
        ("${SET-d} ${EMPTY-d} ${MISSING-d}", "first  d"),
        ("${SET:+r} ${EMPTY:+r} ${MISSING:+r}", "r  "),
        ("${SET+r} ${EMPTY+r} ${MISSING+r}", "r r "),
        ("${SET:?m} ${SET?m} ${EMPTY?m}", "first first "),
        ("${MISSING:-${EMPTY:-${SET}}}", "first"),
        ("${MISSING:-$SET and ${SET}}", "first and first"),
        ("${SET:+${MISSING:-deep}}", "deep"),
        ("${MISSING:-/path:-with}", "/path:-with"),
        ('${MISSING:-{"a": 1}}', '{"a": 1}'),
        ("${JSON}", '{"a": 1}'),
        ("${MISSING:-a\nb}", "a\nb"),
        ("$$SET $${SET} $$$SET", "$SET ${SET} $first"),
        ("${MISSING:-$$x}", "$x"),
        ("a $ b $1 $. ^x$", "a $ b $1 $. ^x$"),
        ("${SET:-?}${EMPTY:-+}", "first+"),
    ],
)
def test_forms(text: str, expected: str) -> None:
    assert interpolate(text, Variables(VALUES)) == expected


@pytest.mark.parametrize("text", ["${", "${}", "${ SET}", "${SET }", "${SET!}", "${SET/a/b}", "${1}", "${SET:-${X}"])
def test_what_begins_a_variable_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(InterpolationError, match=r"write \$\{NAME\}"):
        interpolate(text, Variables(VALUES))


@pytest.mark.parametrize("text", ["${MISSING:?say $SET}", "${MISSING?say $SET}", "${EMPTY:?say $SET}"])
def test_a_demanded_variable_that_is_missing_is_refused_with_its_message(text: str) -> None:
    with pytest.raises(InterpolationError, match=r"the variable (MISSING|EMPTY) must have a value: say first"):
        interpolate(text, Variables(VALUES))


def test_the_variables_that_are_not_set_are_told_once_and_only_where_their_value_counts() -> None:
    variables = Variables(VALUES)
    interpolate("$GONE ${GONE} ${SET:-$UNUSED} ${SET?$UNUSED} ${MISSING:+$UNUSED} ${MISSING:-$ALSO} $EMPTY", variables)
    assert list(variables.unset) == ["GONE", "ALSO"]


def test_values_are_interpolated_and_keys_are_not() -> None:
    tree = {"$SET": ["$SET", {"a": "$SET"}, 1, None, True]}
    assert interpolate_tree(tree, Variables(VALUES)) == {"$SET": ["first", {"a": "first"}, 1, None, True]}


def test_a_refusal_names_the_key() -> None:
    with pytest.raises(OptionError, match=r"^services\.web\.ports\[1\]: "):
        interpolate_tree({"services": {"web": {"ports": ["80", "${P"]}}}, Variables({}))


@pytest.mark.parametrize("where", [{"PASSWORD": "pa${ss-word"}, ["PASSWORD=pa${ss-word"], ["PASSWORD=pa${!ss-word}"]])
def test_a_refusal_does_not_show_a_value_of_the_environment(where: object) -> None:
    with pytest.raises(OptionError, match=r"^services\.web\.environment") as failed:
        interpolate_tree({"services": {"web": {"environment": where}}}, Variables({}))
    assert "ss-word" not in failed.value.message


@given(st.text().filter(lambda text: "$" not in text))
def test_text_without_a_dollar_sign_is_itself(text: str) -> None:
    assert interpolate(text, Variables({})) == text


@given(st.text())
def test_doubled_dollar_signs_shield_any_text(text: str) -> None:
    variables = Variables({})
    assert interpolate(text.replace("$", "$$"), variables) == text
    assert not variables.unset


@given(st.text())
def test_a_value_is_not_interpolated_again(value: str) -> None:
    assert (
        interpolate("${A}${B:-x}${A:+$A}", Variables({"A": value or "-", "B": "$A"}))
        == f"{value or '-'}$A{value or '-'}"
    )
