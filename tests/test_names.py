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
# Annex B of IEEE 1364-2005, 6.4.1 of C99, and words of later C++ and SystemVerilog that tools refuse.
VERILOG = """always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign default defparam
design disable edge else end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify endtable endtask
event for force forever fork function generate genvar highz0 highz1 if ifnone incdir include initial inout input instance
integer join large liblist library localparam macromodule medium module nand negedge nmos nor noshowcancelled not notif0
notif1 or output parameter pmos posedge primitive pull0 pull1 pulldown pullup pulsestyle_onevent pulsestyle_ondetect rcmos
real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled signed small specify specparam
strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg unsigned use vectored
wait wand weak0 weak1 while wire wor xnor xor logic bit byte""".split()
C = """auto break case char const continue default do double else enum extern float for goto if inline int long register restrict
return short signed sizeof static struct switch typedef union unsigned void volatile while asm class delete new namespace
operator private public template this throw try using virtual bool true false""".split()
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
text = st.text(st.characters(codec="utf-8"), max_size=60)


def legal(name):
    assert IDENTIFIER.fullmatch(name), name
    assert len(name) <= 64
    assert name.lower() not in VERILOG
    assert name.lower() not in C


@pytest.mark.parametrize("name", NASTY)
def test_identifiers_of_nasty_names(name):
    legal(names.identifier(name))


@given(text, st.sampled_from(["net", "t"]))
def test_every_text_becomes_a_legal_identifier(name, fallback):
    legal(names.identifier(name, fallback))


@pytest.mark.parametrize("name", sorted({*VERILOG, *C}))
def test_keywords_are_avoided(name):
    for case in (name, name.upper(), name.title()):
        assert names.identifier(case).lower() != name


@pytest.mark.parametrize("name", ["test", "all", "clean", "stdint", "string", "test_main", "board", "harness"])
def test_a_network_is_not_called_like_a_file_or_a_make_target(name):
    assert names.network_name(name) != name
    assert names.network_name(name.upper()).lower() != name


@pytest.mark.parametrize("name", ["conv1", "lenet5_caffe_mnist", "A", "x9"])
def test_legal_names_stay(name):
    assert names.identifier(name) == name


def test_long_names_that_differ_at_the_end_stay_apart():
    a, b = names.identifier("n" * 500 + "a"), names.identifier("n" * 500 + "b")
    assert a != b


@given(st.lists(text, max_size=12))
def test_c_fields_are_legal_and_distinct(given_names):
    found = _c_text.field_names(given_names)
    assert len({f.lower() for f in found}) == len(given_names)
    for name in found:
        assert IDENTIFIER.fullmatch(name)
        assert name.lower() not in C


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
