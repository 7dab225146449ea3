"""Weights in fields on a Cortex-M4: the assembly of every form, on all products of a field and a value at every place of a word.

What these functions compute is linear in the values, and a field is cut out of a word whatever the others hold: sums of products
that are right one by one are right together. The code jumps into the middle of a loop by the number of words, so all remainders
are taken.
"""

import subprocess
from pathlib import Path

import pytest

from hwcomp.backends import _c_fields
from hwcomp.backends._c_text import render
from hwcomp.verify import m4

pytestmark = pytest.mark.skipif(bool(m4.CM4().missing()), reason=f"missing: {m4.CM4().missing()}")
BOARD = Path(__file__).parents[1] / "golden" / "c" / "src" / "baremetal"
FORMS = [(1, "int8_t", True), (1, "uint8_t", True), (1, "int16_t", False), (2, "int16_t", False), (4, "int16_t", False)]

# A turn takes {bits} words at most; windows of int16_t have pairs of neighbours side by side, bytes lie as they are.
CHECK = """
static int wrong_{name}(void)
{{
    static {x} x[{most} * {per_word} * {n}];
    static uint32_t w[{most}];
    static const int order[4] = {{0, 2, 1, 3}};
    int words, at, place, row, window, v, i;
    uint32_t field;
    for (words = 1; words <= {most}; words++)
    for (at = 0; at < words; at++)
    for (place = 0; place < {per_word}; place++)
    for (window = 0; window < {n}; window++) {{
        const int first = at * {per_word} * {n};
        const int k = first + ({raw} ? place / 4 * 4 + order[place % 4] : ((place / 2) * {n} + window) * 2 + place % 2);
        const int all = words == {most} && at == 1;
        int32_t total[{n}];
        for (v = {lo}; v <= {hi}; v += all ? 1 : {some}) {{
            x[k] = ({x})v;
            t_total_{shape}(x, (size_t)words * {per_word} / 4, -3, total);
            for (i = 0; i < {n}; i++)
                if (total[i] != (i == window ? -3 * v : 0)) return 1;
            for (row = 0; row < 2; row++)
            for (field = 0; field < {fields}; field++) {{
                int32_t acc[{sums}];
                for (i = 0; i < {sums}; i++) acc[i] = 7 - 5 * i;
                w[at] = field << ((place / 2 * 2 + row) * {bits} + place % 2 * 16);
                t_fields_{name}(x, w, (size_t)words, acc);
                w[at] = 0;
                for (i = 0; i < {sums}; i++)
                    if (acc[i] != 7 - 5 * i + (i == row * {n} + window ? {step} * (int32_t)field * v : 0)) return 1;
            }}
        }}
        x[k] = 0;
    }}
    return 0;
}}
"""


@pytest.mark.parametrize("bits", _c_fields.SIZES)
def test_every_product(bits, tmp_path):
    text = '#include <stdint.h>\n#include <stddef.h>\n#include <string.h>\n#include "semihost.h"\n'
    text += render("prim/c/base.c.j2", p="t", body="t_load4(", prims={})
    calls, shapes = [], set()
    for n, x, raw in FORMS:
        for step in (1, 2):
            shape = f"{n}_{x}"
            name = f"{bits}_{shape}_{step}"
            prim = {"n": n, "x": x, "raw": raw, "quads": True, "dsp": True}
            if shape not in shapes:
                text += render("prim/c/total.c.j2", p="t", prim={"name": shape, **prim})
            shapes.add(shape)
            text += render("prim/c/fields.c.j2", p="t", prim={"name": name, "bits": bits, "step": step, **prim})
            lo, hi = (0, 255) if x == "uint8_t" else (-128, 127)
            text += CHECK.format(
                name=name, shape=shape, x=x, n=n, raw=int(raw), bits=bits, step=step, per_word=16 // bits, most=bits + 1,
                sums=2 * n, fields=1 << bits, lo=lo, hi=hi, some=85,
            )  # fmt: skip
            calls.append(name)
    text += "#if !t_DSP\n#error the assembly is left out\n#endif\n"
    names = "".join(f'    if (wrong_{c}()) {{ semihost_puts("{c} "); bad = 1; }}\n' for c in calls)
    (tmp_path / "main.c").write_text(f"{text}int main(void)\n{{\n    int bad = 0;\n{names}    return bad;\n}}\n")
    files = ["main.c", *(str(BOARD / f) for f in ("startup.c", "semihost.c"))]
    command = [
        m4.CC,
        *m4.ARCH,
        *m4.FLAGS,
        "-I",
        BOARD,
        *files,
        "-nostartfiles",
        "--specs=nano.specs",
        "-T",
        BOARD / "link.ld",
    ]
    subprocess.run([*command, "-o", "image.elf"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [m4.QEMU, *m4.MACHINE, "-kernel", "image.elf"], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=m4.TIMEOUT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr
