"""Whether C++ can be synthesized: what high-level synthesis tools refuse, found in the text before any of them sees it.

Static bounds and constant trip counts, no heap, no recursion, no pointer to pointer, no containers, nothing of std, no
floats, no call of what is not in the files. Written for the subset of C++ that the templates use: at the outermost level
functions, structs of data, constants and names of types; another form is reported, as what is inside would go unseen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_HEADERS = frozenset(("stdint.h", "ap_int.h", "hls_stream.h", "ap_axi_sdata.h", "ac_int.h", "ac_channel.h"))
_FORBIDDEN = {
    **dict.fromkeys(("new", "delete", "malloc", "calloc", "realloc", "free", "alloca"), "takes memory from the heap"),
    **dict.fromkeys(("while", "do", "goto", "break", "continue"), "leaves the number of rounds open"),
    **dict.fromkeys(
        (
            "throw",
            "try",
            "catch",
            "virtual",
            "dynamic_cast",
            "reinterpret_cast",
            "typeid",
            "asm",
            "thread_local",
            "union",
            "volatile",
        ),
        "can't be synthesized",
    ),
    **dict.fromkeys(("float", "double"), "is no integer"),
    **dict.fromkeys(("printf", "fopen", "FILE", "exit", "abort"), "calls the system"),
    "std": "uses the standard library",
}
_TOKEN = re.compile(r"[A-Za-z_]\w*|\d\w*|::|->|\+\+|--|<<=?|>=|<=|==|!=|&&|\|\||[-+*/%&|^]=|\"[^\"]*\"|\S")
_NAME = re.compile(r"[A-Za-z_]\w*")
_TYPE_WORDS = frozenset("bool char short int long unsigned signed void".split())
_DIRECTIVES = frozenset("include define pragma if ifdef ifndef else elif endif".split())
_METHODS = frozenset("read write range set_slc slc to_int".split())  # of streams and integers, in both dialects
_CASTS_AND_WORDS = _TYPE_WORDS | {"if", "for", "return", "sizeof"}
_ASSIGN = frozenset("= ++ -- += -= *= /= %= &= |= ^= <<=".split())
_FLOAT = re.compile(r"(?<![\w.])(?:\d+\.\d*|\.\d+|\d+[eE][-+]?\d)")
_DIGRAPH = re.compile(r"<%|%>|<:|:>|%:")
_QUALIFIERS = frozenset(("const", "static", "constexpr", "typename"))
_NO_TYPE = frozenset(("return", "else", "case", "typename", "class", "struct"))


@dataclass(frozen=True)
class Token:
    text: str
    line: int


@dataclass
class _Function:
    """A function's tokens: its head from the end of what came before, its body between the braces."""

    name: str
    file: str
    head: list[Token]
    body: list[Token]
    constants: set[str] = field(default_factory=set)


def lint(files: dict[str, str]) -> list[str]:
    """What is wrong in C++ `files` (text by name), as "file:line: what"; empty where all can be synthesized."""
    faults: list[str] = []
    functions: list[_Function] = []
    constexprs: set[str] = set()
    known: set[str] = set()  # macros and types
    for name, text in sorted(files.items()):
        tokens = list(_tokens(name, text, faults, files.keys(), known))
        faults += [f"{name}:{t.line}: {t.text} {_FORBIDDEN[t.text]}" for t in tokens if t.text in _FORBIDDEN]
        faults += [f"{name}:{line}: {what}" for line, what in _pointers(tokens)]
        found = list(_functions(name, tokens, faults))
        functions += found
        known |= _types(tokens)
        constexprs |= {f.name for f in found if any(t.text == "constexpr" for t in f.head)}
    known |= {f.name for f in functions}
    for f in functions:
        f.constants = constexprs | _template_integers(f.head)
        _collect_constants(f)
        faults += [
            f"{f.file}:{line}: {what}" for line, what in (*_loops(f), *_arrays(f), *_calls(f, known), *_addresses(f))
        ]
    return faults + _recursion(functions)


def _tokens(name: str, text: str, faults: list[str], beside: Collection[str], macros: set[str]) -> Iterator[Token]:
    """Without comments, preprocessor lines and the values of constant arrays; those lines are checked on the way."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.DOTALL)
    text = re.sub(r"(?<== )\{[-\d\sL{},()]*\}", lambda m: "{}" + "\n" * m[0].count("\n"), text)
    for number, line in enumerate(text.split("\n"), 1):
        code = line.split("//")[0]
        if line.endswith("\\"):
            faults.append(f"{name}:{number}: a line that goes on in the next one")
        if code.lstrip().startswith("#"):
            faults += [f"{name}:{number}: {what}" for what in _directive(code.strip(), beside, macros)]
            continue
        if found := _FLOAT.search(code):
            faults.append(f"{name}:{number}: {found[0]} is no integer")
        if found := _DIGRAPH.search(code):
            faults.append(f"{name}:{number}: {found[0]} stands for a bracket")
        for match in _TOKEN.finditer(code):
            yield Token(match[0], number)


def _directive(code: str, beside: Collection[str], macros: set[str]) -> Iterator[str]:
    """What is wrong in a preprocessor line; what it defines goes into `macros`."""
    word, _, rest = code[1:].lstrip().partition(" ")
    if word not in _DIRECTIVES:
        yield f"#{word} is not understood"
    if word == "include":
        header = rest.strip()
        if not ((header[:1] == "<" and header[1:-1] in _HEADERS) or (header[:1] == '"' and header[1:-1] in beside)):
            yield f"{header} is no header of a synthesis tool"
    if word == "define":
        names = _NAME.findall(rest)
        macros.add(names[0])
        yield from (f"{n} in a macro" for n in names[1:] if n in _FORBIDDEN or n == "for")


def _types(tokens: list[Token]) -> set[str]:
    """Names of structs and of types under another name."""
    return {b.text for a, b in pairwise(tokens) if a.text in ("struct", "using") and _NAME.fullmatch(b.text)}


def _pointers(tokens: list[Token]) -> Iterator[tuple[int, str]]:
    """Pointers to pointers, arrays of pointers, pointers to functions."""
    texts = [t.text for t in tokens]
    for i, text in enumerate(texts[:-2]):
        after = texts[i + 2] if texts[i + 1] == "const" else texts[i + 1]
        if text == "*" and after in ("*", "&"):
            yield tokens[i].line, "a pointer to a pointer"
        typed = i and (texts[i - 1] in _TYPE_WORDS or texts[i - 1].endswith("_t") or texts[i - 1] == ">")
        if text == "*" and typed and _NAME.fullmatch(texts[i + 1]) and texts[i + 2] == "[":
            yield tokens[i].line, "an array of pointers"
        if text == "(" and texts[i + 1] == "*":
            yield tokens[i].line, "a pointer to a function"
        if text in ("using", "typedef") and "*" in texts[i : next(k for k in range(i, len(texts)) if texts[k] == ";")]:
            yield tokens[i].line, "a name for a pointer"


def _functions(file: str, tokens: list[Token], faults: list[str]) -> Iterator[_Function]:
    """Functions at the outermost level: NAME ( .. ) { .. }; beside them only structs of data and initialisers have braces."""
    start = i = 0
    while i < len(tokens):
        text = tokens[i].text
        if text == ";":
            start = i + 1
        elif text == "{":
            end = _close(tokens, i, "{", "}")
            if i and tokens[i - 1].text == ")":
                opened = _open(tokens, i - 1)
                yield _Function(tokens[opened - 1].text, file, tokens[start:i], tokens[i + 1 : end])
            else:
                head, inside = ({t.text for t in part} for part in (tokens[start:i], tokens[i + 1 : end]))
                if not (tokens[i - 1].text == "=" or ("struct" in head and not inside & {"(", "{"})):
                    faults.append(f"{file}:{tokens[i].line}: braces that are no function and no struct of data")
            i = end
            start = i + 1
        i += 1


def _close(tokens: list[Token], at: int, left: str, right: str) -> int:
    depth = 0
    for i in range(at, len(tokens)):
        depth += (tokens[i].text == left) - (tokens[i].text == right)
        if depth == 0:
            return i
    return len(tokens) - 1


def _open(tokens: list[Token], at: int) -> int:
    depth = 0
    for i in range(at, -1, -1):
        depth += (tokens[i].text == ")") - (tokens[i].text == "(")
        if depth == 0:
            return i
    return 0


def _template_integers(head: list[Token]) -> set[str]:
    texts = [t.text for t in head]
    if "template" not in texts:
        return set()
    ends = len(texts) - 1 - texts[::-1].index("(")
    return {b for a, b in pairwise(texts[:ends]) if a in ("int", "long", "bool") and _NAME.fullmatch(b)}


def _names(tokens: list[Token]) -> set[str]:
    return {t.text for t in tokens if _NAME.fullmatch(t.text)} - {"true", "false"} - _TYPE_WORDS


def _collect_constants(f: _Function) -> None:
    """`const int A = .., B = ..;` made of constants only; a name that is also that of something else is none."""
    body = f.body
    texts = [t.text for t in body]
    hidden = {texts[i + 1] for i in range(len(texts) - 1) if texts[i] in _TYPE_WORDS and texts[i - 1 : i] != ["const"]}
    for i in range(len(body) - 3):
        if [t.text for t in body[i : i + 2]] != ["const", "int"]:
            continue
        end = next((k for k in range(i, len(body)) if body[k].text == ";"), len(body))
        depth, part = 0, [i + 2]
        for k in range(i + 2, end):
            depth += (body[k].text in "([") - (body[k].text in ")]")
            if body[k].text == "," and depth == 0:
                part.append(k + 1)
        for first, last in zip(part, [*(p - 1 for p in part[1:]), end], strict=True):
            if _names(body[first + 2 : last]) <= f.constants:
                f.constants.add(body[first].text)
            else:
                hidden.add(body[first].text)

    f.constants -= hidden


def _statement(body: list[Token], at: int) -> int:
    """Where the statement that begins at token `at` ends."""
    if at >= len(body):
        return len(body)
    if body[at].text == "{":
        return _close(body, at, "{", "}")
    if body[at].text in ("for", "if"):
        end = _statement(body, _close(body, at + 1, "(", ")") + 1)
        follows = body[at].text == "if" and body[end + 1 : end + 2] and body[end + 1].text == "else"
        return _statement(body, end + 2) if follows else end
    return next((k for k in range(at, len(body)) if body[k].text == ";"), len(body))


def _loops(f: _Function) -> Iterator[tuple[int, str]]:
    """for (int i = CONSTANT; i < CONSTANT; i++), with an i that nobody else changes, and no way out."""
    body = f.body
    for i, token in enumerate(body):
        if token.text != "for":
            continue
        end = _close(body, i + 1, "(", ")")
        texts = [t.text for t in body[i + 2 : end]]
        cuts = [k for k, t in enumerate(texts) if t == ";"]
        shaped = (
            len(cuts) == 2 and texts[0] == "int" and texts[2:3] == ["="]
            and texts[cuts[0] + 1 : cuts[0] + 3] == [texts[1], "<"] and texts[cuts[1] + 1 :] in ([texts[1], "++"], ["++", texts[1]])
        )  # fmt: skip
        if not shaped:
            yield token.line, "a loop that is not for (int i = FROM; i < TO; i++)"
            continue
        head = body[i + 2 : end]
        if unknown := (_names(head[3 : cuts[0]]) | _names(head[cuts[0] + 3 : cuts[1]])) - f.constants:
            yield token.line, f"a loop whose bound {sorted(unknown)[0]} is not constant"
        inside = [t.text for t in body[end + 1 : _statement(body, end + 1)]]
        if "return" in inside:
            yield token.line, "a loop that can be left by return"
        for k, text in enumerate(inside):
            after, before = inside[k + 1 : k + 3], inside[k - 1 : k] if k else []
            changed = (after[:1] and after[0] in _ASSIGN) or after == [">", ">="] or before in (["++"], ["--"])
            if text == texts[1] and changed:
                yield token.line, f"a loop that changes its own {text}"


def _arrays(f: _Function) -> Iterator[tuple[int, str]]:
    """Declarations TYPE NAME[BOUND].. whose bounds are not constant, arguments of processes without a bound: functions
    with a result are inlined, and know their arrays."""
    body = f.body
    for a, b in pairwise(f.head):
        if (a.text, b.text) == ("[", "]") and any(t.text == "void" for t in f.head):
            yield a.line, "an array without a size"
    for i in range(1, len(body) - 1):
        before, name = body[i - 1].text, body[i].text
        declares = _NAME.fullmatch(name) and body[i + 1].text in ("[", ",") and name not in _NO_TYPE
        named = _NAME.fullmatch(before) and before not in _NO_TYPE
        if not (declares and (named or _of_template(body, i))):
            continue
        end = next((k for k in range(i, len(body)) if body[k].text in (";", "=", "{")), len(body))
        k = i
        while k < end:
            if body[k].text == "[":
                close = _close(body, k, "[", "]")
                if close == k + 1:
                    yield body[k].line, "an array without a size"
                if unknown := _names(body[k + 1 : close]) - f.constants:
                    yield body[k].line, f"an array whose size {sorted(unknown)[0]} is not constant"
                k = close
            k += 1


def _of_template(body: list[Token], at: int) -> bool:
    """Whether token `at` is declared by a statement [const] TYPE < .. > NAME."""
    start = next((k + 1 for k in range(at, -1, -1) if body[k].text in (";", "{", "}", ")")), 0)  # ): of a macro
    while start < at and body[start].text in _QUALIFIERS:
        start += 1
    depth = 0
    for k in range(start + 1, at):
        depth += (body[k].text == "<") - (body[k].text == ">")
        if depth == 0:
            return k == at - 1 and k > start + 1
    return False


def _calls(f: _Function, known: set[str]) -> Iterator[tuple[int, str]]:
    """Functions that are not in the files: those of the system, of C's library."""
    head = {b.text for a, b in pairwise(f.head) if a.text in ("class", "typename")}
    ends = [_statement(f.body, k) for k, t in enumerate(f.body) if t.text == "typedef"]
    allowed = known | _CASTS_AND_WORDS | head | {f.body[k - 1].text for k in ends}
    for i in range(len(f.body) - 1):
        name, before = f.body[i].text, f.body[i - 1].text if i else ";"
        if not _NAME.fullmatch(name) or f.body[i + 1].text != "(" or _of_template(f.body, i):
            continue
        if name not in (_METHODS if before in (".", "->") else allowed):
            yield f.body[i].line, f"a call of {name}, which is not in these files"


def _addresses(f: _Function) -> Iterator[tuple[int, str]]:
    """& without a left operand: an address or a reference, behind which a loop's variable may change."""
    texts = [t.text for t in f.body]
    for i in range(1, len(texts) - 2):
        if texts[i] == "&" and (texts[i - 1] in ("=", "(", ",", "return", "[") or texts[i + 2] == "="):
            yield f.body[i].line, "an address or a reference"


def _recursion(functions: list[_Function]) -> list[str]:
    """Functions that come back to themselves, overloads under one name."""
    calls: dict[str, set[str]] = {}
    names = {f.name for f in functions}
    for f in functions:
        calls.setdefault(f.name, set()).update(_names(f.body) & names)
    faults = []
    for f in functions:
        seen: set[str] = set()
        todo = sorted(calls[f.name])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += sorted(calls[name])
        if f.name in seen:
            faults.append(f"{f.file}:{f.head[0].line if f.head else 1}: {f.name} calls itself")
    return faults
