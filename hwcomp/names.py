"""Names from models and users made safe for generated code. Nothing from a model reaches a product in another way."""

from __future__ import annotations

import hashlib
import re

_LONGEST = 40
_KEYWORDS = frozenset(
    # C99 and C++
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while asm bool catch "
    "class delete explicit export false friend mutable namespace new operator private protected public template this "
    "throw true try typeid typename using virtual and or not xor main "
    # Verilog-2005 and SystemVerilog
    "always assign begin buf bufif0 bufif1 casex casez cell cmos config deassign defparam design disable edge end endcase "
    "endconfig endfunction endgenerate endmodule endprimitive endspecify endtable endtask event force forever fork function "
    "generate genvar highz0 highz1 ifnone incdir include initial inout input instance integer join large liblist library "
    "localparam macromodule medium module nand negedge nmos nor noshowcancelled notif0 notif1 output parameter pmos posedge "
    "primitive pull0 pull1 pulldown pullup rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1 "
    "scalared showcancelled small specify specparam strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 "
    "tri tri0 tri1 triand trior trireg unsigned use vectored wait wand weak0 weak1 wire wor xnor logic bit byte var".split()
)

# Names that a network can't have: targets that CMake reserves, C headers, and files beside NAME.c in a product.
_FILES = frozenset(
    "test all clean install help edit_cache rebuild_cache list_install_components package package_source depend none run "
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic "
    "stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype arm_acle "
    "harness board startup semihost test_main image link tb files".split()
)


def network_name(name: str) -> str:
    """An identifier that can also name the product's files and its CMake target."""
    text = identifier(name)
    return f"{text}_net" if text.lower() in _FILES else text


def identifier(name: str, fallback: str = "net") -> str:
    """A legal C and Verilog identifier that resembles `name`: other characters become `_`, long names end in a hash."""
    text = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")  # no double underscore: tools reserve and mangle it
    if not text or text[0].isdigit():
        text = f"{fallback}_{text}".rstrip("_")
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return f"{text}_{fallback}" if text.lower() in _KEYWORDS else text


def identifiers(names: list[str], fallback: str = "t") -> dict[str, str]:
    """One distinct identifier per name, in order; a number is added where two would be the same (case ignored)."""
    taken: set[str] = set()
    result = {}
    for name in names:
        base = identifier(name, fallback)
        text, n = base, 1
        while text.lower() in taken:
            n += 1
            text = f"{base}_{n}"
        taken.add(text.lower())
        result[name] = text
    return result


def comment(text: str, longest: int = 60) -> str:
    """`text` for a // or /* */ comment: printable ASCII without what could end the comment or continue its line."""
    safe = "".join(c if " " <= c <= "~" and c not in "\\`" else "?" for c in text[:longest])
    safe = safe.replace("*/", "*?").replace("/*", "?*").replace("??", "? ")
    return safe + ("..." if len(text) > longest else "")
