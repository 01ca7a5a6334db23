"""Files of variables. The cases of the specification's section on the format of env files."""

from __future__ import annotations

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.env_file import parse_env_file
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.interpolate import Variables
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from hypothesis import given
from hypothesis import strategies as st

OUTER = {"OUTER": "outer", "SHADOWED": "outside"}


def parse(text: str, raw: bool = False) -> dict[str, str]:
    return parse_env_file("some.env", text, Variables(OUTER), raw)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("VAR=VAL", "VAL"),
        ("VAR=", ""),
        ("VAR: VAL", "VAL"),
        ("export VAR=VAL", "VAL"),
        ("  VAR = VAL  ", "VAL"),
        ('VAR="VAL"', "VAL"),
        ("VAR='VAL'", "VAL"),
        ("VAR=VAL # comment", "VAL"),
        ("VAR=VAL# not a comment", "VAL# not a comment"),
        ("VAR= # comment", ""),
        ('VAR="VAL # not a comment"', "VAL # not a comment"),
        ('VAR="VAL" # comment', "VAL"),
        ("VAR='$OUTER'", "$OUTER"),
        ("VAR='${OUTER}'", "${OUTER}"),
        ("VAR=$OUTER-x", "outer-x"),
        ('VAR="${OUTER}"', "outer"),
        ("VAR=${NONE:-d}", "d"),
        (r"VAR='Let\'s go!'", "Let's go!"),
        (r'VAR="{\"hello\": \"json\"}"', '{"hello": "json"}'),
        (r'VAR="some\tvalue"', "some\tvalue"),
        (r"VAR='some\tvalue'", r"some\tvalue"),
        (r"VAR=some\tvalue", r"some\tvalue"),
        (r'VAR="a\\b"', r"a\b"),
        (r'VAR="\$OUTER"', "$OUTER"),
        ('VAR="$$OUTER"', "$OUTER"),
        (r'VAR="\0101"', "A"),
        ('VAR="two\nlines"', "two\nlines"),
        ("VAR=a=b", "a=b"),
    ],
)
def test_values(line: str, value: str) -> None:
    assert parse(f"# first\n\n{line}\nLAST=1") == {"VAR": value, "LAST": "1"}


def test_windows_files_with_a_mark_in_front_are_read() -> None:
    assert parse("\ufeffA=1\r\nB=2\r\n") == {"A": "1", "B": "2"}


def test_a_name_alone_takes_its_value_from_outside_and_sets_nothing_without_one() -> None:
    assert parse("OUTER\nNOWHERE\n") == {"OUTER": "outer"}


def test_a_value_may_name_a_variable_above_it_but_what_is_outside_comes_first() -> None:
    assert parse("A=1\nB=$A\nSHADOWED=inside\nC=$SHADOWED\n")["B"] == "1"
    assert parse("SHADOWED=inside\nC=$SHADOWED\n") == {"SHADOWED": "inside", "C": "outside"}


def test_raw_values_are_taken_as_they_are() -> None:
    assert parse("# c\nA='x' $OUTER # y\nB=\n", raw=True) == {"A": "'x' $OUTER # y", "B": ""}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("A=1\nB C=2", "line 2: it sets no variable"),
        ("A=1\n=2", "line 2: it sets no variable"),
        ('A="open\nB=1', "line 1, A: its quote is not closed"),
        ('A="x" y', "line 1, A: more follows"),
        ("A=${X:?needed}", "line 1, A: the variable X must have a value: needed"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(text: str, where: str) -> None:
    with pytest.raises(HardshellError) as failed:
        parse(text)
    assert failed.value.message.startswith("some.env, ")
    assert where in failed.value.message


@pytest.mark.parametrize(
    "text", ['PASSWORD="hunter2', "PASSWORD=${hunter2", "PASSWORD=${hunter2 }", "PASSWORD='x' hunter2"]
)
def test_a_refusal_does_not_show_the_value(text: str) -> None:
    with pytest.raises(HardshellError) as failed:
        parse(text)
    assert "hunter2" not in failed.value.message


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)
QUOTABLE = st.text(st.characters(exclude_characters="'\\\r"), max_size=20)


@given(st.dictionaries(NAMES, QUOTABLE, max_size=4))
def test_whatever_stands_in_single_quotes_comes_out(variables: dict[str, str]) -> None:
    text = "".join(f"{name}='{value}'\n" for name, value in variables.items())
    assert parse_env_file("f", text, Variables({})) == variables
