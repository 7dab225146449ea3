"""Functions of generated C, read from its text and run on symbols: words of z3, so that a solver can prove what they compute."""

from __future__ import annotations

import re

import z3

_FUNCTION = re.compile(r"static (?:inline )?\w+ (\w+)\(([^)]*)\)\n\{\n(.*?)\n\}", re.DOTALL)
_ASM = re.compile(r"__asm__\((.*?)\);", re.DOTALL)
_OPCODES = {"eor": lambda a, b: a ^ b, "and": lambda a, b: a & b, "orr": lambda a, b: a | b}


class Word:
    """A 32-bit word; >> shifts zeros in, as C does for unsigned ones, or the sign where the word is `signed`."""

    def __init__(self, value, signed=False):
        self.bits = value if z3.is_bv(value) else z3.BitVecVal(value, 32)
        self.signed = signed

    def _with(self, other, function):
        other = other if isinstance(other, Word) else Word(other, self.signed)
        return Word(function(self.bits, other.bits), self.signed and other.signed)

    def __add__(self, other):
        return self._with(other, lambda a, b: a + b)

    def __sub__(self, other):
        return self._with(other, lambda a, b: a - b)

    def __mul__(self, other):
        return self._with(other, lambda a, b: a * b)

    def __and__(self, other):
        return self._with(other, lambda a, b: a & b)

    def __or__(self, other):
        return self._with(other, lambda a, b: a | b)

    def __xor__(self, other):
        return self._with(other, lambda a, b: a ^ b)

    def __lshift__(self, n):
        return self._with(n, lambda a, b: a << b)

    def __rshift__(self, n):
        return self._with(n, (lambda a, b: a >> b) if self.signed else z3.LShR)

    def __rsub__(self, other):
        return Word(other) - self

    def __rmul__(self, other):
        return self * other

    def __gt__(self, other):
        return self._compare(other, lambda a, b: a > b, z3.UGT)

    def __lt__(self, other):
        return self._compare(other, lambda a, b: a < b, z3.ULT)

    def __ge__(self, other):
        return self._compare(other, lambda a, b: a >= b, z3.UGE)

    def _compare(self, other, signed, unsigned):
        other = other if isinstance(other, Word) else Word(other, self.signed)
        return (signed if self.signed and other.signed else unsigned)(self.bits, other.bits)


class Cell:
    """A variable that is handed over by address."""

    def __init__(self, value):
        self.value = value


class Stream:
    """A pointer to words that moves on."""

    def __init__(self, words):
        self.words, self.at = list(words), 0

    def next(self):
        self.at += 1
        return self.words[self.at - 1]


def _expression(text):
    """C as Python: casts of words go, `c ? a : b` becomes a call, streams are read by calls."""
    text = re.sub(r"\((?:u?int32_t|const uint32_t \*)\)", "", text)
    text = re.sub(r"0x([0-9a-f]+)u|(\d+)u\b", lambda m: f"0x{m[1]}" if m[1] else m[2], text)
    text = re.sub(r"\(\*(\w+)\)\[(\d+)\]", r"\1.words[\1.at + \2]", text)
    text = re.sub(r"\*\(\*(\w+)\)\+\+", r"\1.next()", text)
    text = re.sub(r"(?:(?<=[(=])|^)\*(\w+)|(?<=[&|^] )\*(\w+)|= \*(\w+)", lambda m: f"{m[1] or m[2]}.value", text)
    text = re.sub(r"&(\w+)", r"_at('\1')", text)
    return re.sub(r"\(([^()?]+) \? ([^:]+) : ([^()]+)\)", r"_if(\1, \2, \3)", text)


def _if(condition, a, b):
    words = [v if isinstance(v, Word) else Word(v) for v in (a, b)]
    return Word(z3.If(condition, words[0].bits, words[1].bits), words[0].signed and words[1].signed)


def _run(body, names, values):
    cells: dict[str, Cell] = {}
    scope = {"_if": _if, **names, **values}

    def address(name):
        return cells.get(name, scope[name])

    scope["_at"] = address
    for statement in filter(None, (s.strip() for s in re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL).split(";"))):
        if match := re.fullmatch(r"return (.*)", statement, re.DOTALL):
            return eval(_expression(match[1]), scope)
        if match := re.fullmatch(r"\*(\w+) = (.*)", statement):
            scope[match[1]].value = eval(_expression(match[2]), scope)
            continue
        match = re.fullmatch(r"(?:const )?u?int32_t (.*)", statement, re.DOTALL)
        for part in re.split(r", (?=\w+ = )", match[1]):
            name, text = part.split(" = ", 1)
            scope[name] = eval(_expression(text), scope)
            if re.search(rf"&{name}\b", body):
                cells[name] = Cell(scope[name])
        scope.update((n, c.value) for n, c in cells.items())
    raise AssertionError("no return")


def functions(text, defines):
    """{name: Python function of Words} of the C functions in a text; `defines`: macro -> whether it is 1."""
    names: dict = {}
    for name, parameters, body in _FUNCTION.findall(_preprocessed(text, defines)):
        order = [re.findall(r"\w+", p)[-1] for p in parameters.split(",")]
        if "for (" in body or "while (" in body:
            continue

        def function(*values, _order=order, _body=body):
            return _run(_body, names, dict(zip(_order, values, strict=True)))

        names[name] = function
    return names


def _preprocessed(text, defines):
    """The text without the branches of #if that `defines` excludes."""
    out, stack = [], []
    for line in text.splitlines():
        if match := re.match(r"#\s*if (!?)(\w+)$", line):
            stack.append(defines[match[2]] != bool(match[1]))
        elif re.match(r"#\s*if", line):
            stack.append(False)
        elif re.match(r"#\s*else", line):
            stack[-1] = not stack[-1]
        elif re.match(r"#\s*endif", line):
            stack.pop()
        elif all(stack):
            out.append(line)
    return "\n".join(out)


def assembly(text, values):
    """Run the instructions of an __asm__ statement of EOR, AND, ORR and LDRD on {operand number: Word or Stream}, in place."""
    for line in re.findall(r'"([^"]*?)(?:\\n\\t)?"', _ASM.search(text)[1].split(" : ")[0]):
        opcode, rest = line.split(" ", 1)
        operands = re.findall(r"%(\d)", rest)
        if opcode == "ldrd":
            source, offset = values[int(operands[2])], re.search(r", #(\d+)\]", rest)
            at = source.at + (int(offset[1]) // 4 if offset else 0)
            values[int(operands[0])], values[int(operands[1])] = source.words[at], source.words[at + 1]
            source.at += 0 if offset else 2
        else:
            to, a, b = map(int, operands)
            values[to] = _OPCODES[opcode](values[a], values[b])
    return values
