"""The two forms of requantization in exact Python integers."""


def rshift_rne(p, s):
    """p / 2**s, rounded half to even."""
    return p if s == 0 else (p + ((1 << (s - 1)) - 1) + ((p >> s) & 1)) >> s


def requantize(a, m, c, p):
    """One value; `p` are the Verilog parameters SHIFT, FORM, ZERO, LO, HI."""
    value = (a * m + c) >> p["SHIFT"] if p["FORM"] else rshift_rne(a * m, p["SHIFT"]) + p["ZERO"]
    return min(max(value, p["LO"]), p["HI"])


def signed(word, width):
    """The two's complement value of an unsigned word."""
    return word - (1 << width) if word >> (width - 1) else word
