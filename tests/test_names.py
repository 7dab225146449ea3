"""Names for generated code: legal, distinct, close to the given ones, and comments that nothing can leave."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp import names
from hwcomp.backends import _c_text
from hwcomp.errors import HwcompError, shown

NASTY = [
    'a;system("x")', "../../x", "endmodule", "int", "n" * 10_000, "\U0001f600", '"', "a\nb", "*/", "`define", "file", "", "0", "a-b",
    "a_b", "A_B", "_a", "a__b", "module", "while", "ä", "??/", "//", "\\", "\0", "$x", "x y", "signed", "logic", "CON",
]  # fmt: skip
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
text = st.text(st.characters(codec="utf-8"), max_size=60)


def legal(name):
    assert IDENTIFIER.fullmatch(name), name
    assert len(name) <= 64
    assert name.lower() not in names._KEYWORDS


@pytest.mark.parametrize("name", NASTY)
def test_identifiers_of_nasty_names(name):
    legal(names.identifier(name))


@given(text, st.sampled_from(["net", "t"]))
def test_every_text_becomes_a_legal_identifier(name, fallback):
    legal(names.identifier(name, fallback))


@pytest.mark.parametrize("name", sorted(names._KEYWORDS))
def test_keywords_are_avoided(name):
    for case in (name, name.upper(), name.title()):
        assert names.identifier(case).lower() != name


@pytest.mark.parametrize("name", ["conv1", "lenet5_caffe_mnist", "A", "x9"])
def test_legal_names_stay(name):
    assert names.identifier(name) == name


def test_long_names_that_differ_at_the_end_stay_apart():
    a, b = names.identifier("n" * 500 + "a"), names.identifier("n" * 500 + "b")
    assert a != b


@given(st.lists(text, max_size=12))
def test_distinct_even_without_case(given_names):
    unique = list(dict.fromkeys(given_names))
    found = names.identifiers(unique)
    assert list(found) == unique
    assert len({v.lower() for v in found.values()}) == len(unique)
    for name in found.values():
        legal(name)


@given(st.lists(text, max_size=12))
def test_c_fields_are_legal_and_distinct(given_names):
    found = _c_text.field_names(given_names)
    assert len({f.lower() for f in found}) == len(given_names)
    for name in found:
        legal(name)
        assert name.lower() not in _c_text._RESERVED


@pytest.mark.parametrize("names_", [["a", "a_2", "a"], ["x", "X", "x_2", "x"], ["a-b", "a_b", "a.b", "a_b_2"]])
def test_numbers_that_are_taken_already(names_):
    found = _c_text.field_names(names_)
    assert len({f.lower() for f in found}) == len(names_)


@pytest.mark.parametrize("comment", [names.comment, _c_text.comment], ids=["verilog", "c"])
@given(raw=st.one_of(text, st.sampled_from(NASTY)))
def test_nothing_leaves_a_comment(comment, raw):
    for given_text in (raw, raw + "*/", "/*" + raw, raw + "\\", "??/" + raw):
        safe = comment(given_text)
        assert all(" " <= c <= "~" for c in safe)
        assert not safe.endswith("\\")
        for bad in ("*/", "/*", "`", "??/", "\\\n"):
            assert bad not in safe or (bad == "`" and comment is _c_text.comment)
        assert len(safe) <= 70


@given(text)
def test_messages_show_any_name_on_one_line(name):
    safe = shown(name)
    assert safe.isprintable()
    assert len(safe) <= 120
    message = str(HwcompError("what", node=name, why="why", fix="fix"))
    assert len(message.splitlines()) == 1
    assert "\x1b" not in message


def test_an_error_has_all_its_parts():
    error = HwcompError("the kernel is too large", node="conv1", why="it has 9 taps", fix="use fewer")
    assert str(error) == "the kernel is too large at node 'conv1'. it has 9 taps. use fewer."
    assert (error.what, error.node, error.why, error.fix) == (
        "the kernel is too large",
        "conv1",
        "it has 9 taps",
        "use fewer",
    )
