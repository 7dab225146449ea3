"""Arithmetic on tensor values stands in templates/prim only: what a kernel template or a structure cell may not say."""

import re

import pytest

from tests.models import ROOT

# --- Verilog ----------------------------------------------------------------------------------------------------------

VERILOG = sorted((ROOT / "templates" / "verilog").glob("*.v"))
_OPERATOR = r"(?:[-+*/%]|<<<?|>>>?|<(?!=)|>=?|===?|!==?)"
# Signals that carry tensor values have `data` in their names.
_DATA = re.compile(
    rf"\w*data\w*(?:\s*\[[^\]]*\])*\s*{_OPERATOR}|{_OPERATOR}\s*\w*data\w*"
    r"|[-+*/%]\s*\(?\s*\$(?:un)?signed|\bsigned\b|\$signed|<<<|>>>"
)


def verilog_arithmetic(text):
    code = re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    code = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", " X ", code)
    code = re.sub(r"\w*data\w*\s*\)", ")", code)  # a port
    return _DATA.findall(code)


@pytest.mark.parametrize("path", [*VERILOG, ROOT / "templates" / "verilog" / "top.v.j2"], ids=lambda p: p.name)
def test_structure_cells_do_no_arithmetic_on_data(path):
    assert verilog_arithmetic(path.read_text()) == []


@pytest.mark.parametrize("code", [
    "assign m_data_o = s_data_i + 1;", "wire signed [3:0] x;", "x = a >>> 2;", "if (s_data_i[3:0] > best) y = 1;",
    "x = 3 * data_q[7:0];",
    "assign y = $signed(x);", "wire z = rdata == 4'd0;", "assign x = data_q << 1;",
])  # fmt: skip
def test_arithmetic_in_verilog_is_noticed(code):
    assert verilog_arithmetic(f"// signed data * 3\n{code}\n") != []


@pytest.mark.parametrize(
    "code", ["data_q <= s_data_i;", "u_x (.data_i(data), .y(z));", "x = data_q[i*W +: W];", "y = {data, x};"]
)
def test_moving_data_is_no_arithmetic(code):
    assert verilog_arithmetic(code) == []


# --- C ----------------------------------------------------------------------------------------------------------------

# In C kernels a tensor value is an element, a[i] or *p++. Multiplying, adding, shifting and comparing elements is done
# by functions of prim/c; kernel templates compute addresses, and hand elements over.
_C_OPERATORS = frozenset("+ - * / % << >> < > <= >= == != & | ^ += -= *= >>= <<= ?".split())
_BEFORE_DEREFERENCE = frozenset("= ; { } ( , return".split())
_C_TOKEN = re.compile(r"\w+|->|\+\+|--|<<=|>>=|[-+*/%&|^<>=!]=|<<|>>|&&|\|\||\S")


def kernel_templates():
    return sorted(
        p
        for p in (ROOT / "templates" / "c").glob("*.j2")
        if not p.name.startswith(("harness", "golden", "header", "CMake", "test_", "selftest"))
    )


def c_arithmetic(text, selected=False):
    """Places where an element is an operand: a subscript or a dereference next to an operator.

    `selected`: an element may be one of the two of `condition ? a : b`.
    """
    text = re.sub(r"\{#.*?#\}|/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"', "S", re.sub(r"\{%.*?%\}", " ", text, flags=re.DOTALL))
    text = re.sub(r"\{\{.*?\}\}", "X", text, flags=re.DOTALL)
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    tokens = _C_TOKEN.findall(text)
    starts, stack, found = {}, [], []
    for i, token in enumerate(tokens):
        if token == "[":
            stack.append(i)
        elif token == "]" and stack:
            starts[i] = stack.pop()
    for end, start in starts.items():
        if tokens[end + 1 : end + 2] == ["["]:
            continue
        while start and tokens[start - 1] == "]":
            start = starts[start - 1]
        first = start - 1  # the name; further back over in->field
        while first > 1 and tokens[first - 1] in ("->", "."):
            first -= 2
        before, after = tokens[first - 1] if first else "", tokens[end + 1] if end + 1 < len(tokens) else ""
        kind, ahead = tokens[first - 2 : first - 1], tokens[first - 3 : first - 2]
        declared = before == "*" and (
            kind == ["const"] or (ahead not in (["="], ["return"]) and re.fullmatch(r"X|\w+_t|char", kind[0]))
        )
        operand = before in _C_OPERATORS and before != "*" and not (selected and before == "?")
        if before == "*" and not declared:
            operand = tokens[first - 2] not in _BEFORE_DEREFERENCE
        if after in _C_OPERATORS or operand:
            found.append(" ".join(tokens[max(first - 3, 0) : end + 3]))
    for i in range(1, len(tokens) - 3):
        if (
            tokens[i] == "*"
            and tokens[i + 2] == "++"
            and tokens[i - 1] in ("=", "(", ",", "return")
            and tokens[i + 3] in _C_OPERATORS
        ):
            found.append(" ".join(tokens[i - 1 : i + 4]))
    return found


@pytest.mark.parametrize("path", kernel_templates(), ids=lambda p: p.name)
def test_c_kernels_do_no_arithmetic_on_elements(path):
    assert c_arithmetic(path.read_text()) == []
    assert not re.search(r"\b(float|double)\b", path.read_text())


@pytest.mark.parametrize("code", [
    "y[i] = x[i] * 3;", "acc += w[k];", "if (x[at[j]] > best)", "y[i] = 1 + x[j][k];", "y[i] = x[i] >> 2;",
    "z = *x++ + 1;", "m = a < in->x[i];",
    "y[i] = {{ a }} * x[i];", "y[i] += f(x);", "x[i] ? 1 : 2;",
])  # fmt: skip
def test_arithmetic_in_c_is_noticed(code):
    assert len(c_arithmetic(f"/* a[i] + 1 */ {code}")) == 1


@pytest.mark.parametrize("code", [
    "y[i] = f(x[i], x[i + 1 * 2]);", "const {{ t }} *row[3];", "row[i][m + 1] = g(acc[2]);", "*y++ = f(*x++);",
    "p = x + ky * 3;",
    "int8_t *const *a[4];", "acc[0] = b[c + 1];",
])  # fmt: skip
def test_addresses_and_calls_are_no_arithmetic(code):
    assert c_arithmetic(code) == []


def test_prim_holds_the_arithmetic():
    """The same rules find it there."""
    assert any(c_arithmetic(p.read_text()) for p in (ROOT / "templates" / "prim" / "c").glob("*.j2"))
    assert sum("signed" in p.read_text() for p in (ROOT / "templates" / "prim" / "verilog").glob("*.v")) >= 3


# --- HLS C++ ----------------------------------------------------------------------------------------------------------

CELLS = sorted((ROOT / "templates" / "hls").glob("hwc_*.h.j2"))
_ARGUMENTS = re.compile(r"(\w+) *<[^<>;(){}=]*(?:\([^()]*\)[^<>;(){}=]*)*>")


def hls_arithmetic(text):
    """As in C, once the arguments of templates are gone; an element is a[i] or beat.lane[i]."""
    text = re.sub(r"\{\{ d\.\w+\((?:\"([^\"]*)\")?[^}]*\}\}", lambda m: f"{m[1]};" if m[1] else ";", text)
    text = re.sub(r"//[^\n]*", " ", text)
    before = ""
    while before != text:
        before, text = text, _ARGUMENTS.sub(r"\1", text)
    return c_arithmetic(re.sub(r"template *<.*?>", " ", text), selected=True)


@pytest.mark.parametrize("path", CELLS, ids=lambda p: p.name)
def test_hls_cells_do_no_arithmetic_on_elements(path):
    assert hls_arithmetic(path.read_text()) == []
    assert not re.search(r"\b(float|double)\b", path.read_text())


@pytest.mark.parametrize("code", [
    "out.lane[i] = in.lane[i] * 3;", "hwc_int<8, true> y = in.lane[i] + 1;", "if (in.lane[i] > best) x = 1;",
    "acc[pe] += hwc_dot<ACC, WW>(x, w);", "out.lane[i] = 2 - kept[p][word][i];", "y = in.lane[i] ? a : b;",
    "hwc_int<P, true> acc[2]; y = held[k] >> SHIFT;",
])  # fmt: skip
def test_arithmetic_in_hls_is_noticed(code):
    assert len(hls_arithmetic(f"// a[i] + 1\n{code}")) == 1


@pytest.mark.parametrize("code", [
    "hwc_int<ACC, true> acc[PE];", "out.lane[p * LANES + i] = kept[p][word][i];",
    "const T most = x == from ? in.lane[i] : hwc_max(across[ox % OPEN_X][g][i], in.lane[i]);",
    "out.lane[i] = hwc_requantize_rne<Y, AW, MW, MS, SHIFT, ZERO, LO, HI>(in.lane[i], multiplier[group][i]);",
])  # fmt: skip
def test_moving_elements_is_no_arithmetic(code):
    assert hls_arithmetic(code) == []


def test_hls_prim_holds_the_arithmetic():
    """The same rule finds the products there."""
    assert sum(hls_arithmetic(p.read_text()) != [] for p in (ROOT / "templates" / "prim" / "hls").glob("*.j2")) >= 1
