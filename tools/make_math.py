"""Write src/cpool/kernels/math_constants.h: the constants of math.h.

    python tools/make_math.py            # rewrites the file
    python tools/make_math.py --check    # fails if the file is not what this script writes

Needs only the standard library, and takes every digit from `decimal` at 60 places: the file comes out byte for byte the same
everywhere.

Each polynomial is the part of a power series that is too long to be kept exactly:

    atanh   2 atanh(s) = 2 s + (2/3) s^3 + ...          as a series in z = s^2, after its first terms
    exp2    2^f = 1 + f ln2 + (f ln2)^2 / 2 + ...       as a series in f, after its first terms

It is interpolated at the Chebyshev nodes of its interval (close to the best polynomial of its degree) and its coefficients
are rounded to double. The error written next to it is that of the rounded coefficients, evaluated without rounding, the
largest on a grid of 2000 points, as a fraction of the function's value. The rounding errors of the evaluation come on top:
tests/c/check_math.c measures the sum.
"""

import math
import struct
import sys
from decimal import Decimal, getcontext
from fractions import Fraction
from pathlib import Path

getcontext().prec = 60
TARGET = Path(__file__).resolve().parent.parent / "src" / "cpool" / "kernels" / "math_constants.h"
LN2 = Decimal(2).ln()
GRID = 2000
WIDTH = 128


def to_double(x):
    """The double nearest to x."""
    f = Fraction(x)
    return f.numerator / f.denominator


def to_float(x):
    """The float nearest to x."""
    return struct.unpack("f", struct.pack("f", to_double(x)))[0]


def top_bits(x, bits=26):
    """x cut to its leading bits, as a double: products of two such numbers of 26 bits are exact."""
    mantissa, exponent = math.frexp(to_double(x))
    return math.ldexp(math.trunc(math.ldexp(mantissa, bits)), exponent - bits)


def nodes(lo, hi, n):
    """Chebyshev nodes, rounded to 30 bits: a last digit of the platform's cosine must not show."""
    for i in range(n):
        c = Decimal(round(math.cos(math.pi * (2 * i + 1) / (2 * n)) * 2**30)) / 2**30
        yield (lo + hi) / 2 + (hi - lo) / 2 * c


def interpolate(function, lo, hi, degree):
    """Coefficients, constant first, of the polynomial through the function at the Chebyshev nodes (Newton's form, expanded)."""
    xs = list(nodes(lo, hi, degree + 1))
    table = [function(x) for x in xs]
    for level in range(1, len(xs)):
        for i in range(len(xs) - 1, level - 1, -1):
            table[i] = (table[i] - table[i - 1]) / (xs[i] - xs[i - level])
    poly = [table[-1]]
    for i in range(len(xs) - 2, -1, -1):
        poly = [Decimal(0), *poly]
        for j in range(len(poly) - 1):
            poly[j] -= xs[i] * poly[j + 1]
        poly[0] += table[i]
    return poly


def horner(poly, x):
    value = Decimal(0)
    for c in reversed(poly):
        value = value * x + c
    return value


def series(term):
    """Function of x that sums term(k) x^k until nothing changes."""

    def evaluate(x):
        total, power, k = Decimal(0), Decimal(1), 0
        while True:
            step = term(k) * power
            if abs(step) < Decimal(10) ** -50:
                return total
            total, power, k = total + step, power * x, k + 1

    return evaluate


def atanh_term(k):
    """Of 2 atanh(s) / s, in z = s^2."""
    return Decimal(2) / (2 * k + 1)


def exp_term(k):
    """Of e^r, in r."""
    return Decimal(1) / math.factorial(k)


def exp2_term(k):
    """Of 2^f, in f."""
    return LN2**k / math.factorial(k)


def define(name, value, comment=""):
    return f"#define {name} {value.hex()}" + (f" /* {comment} */" if comment else "")


def split(name, value):
    """A constant as 26 leading bits and the rest."""
    hi = top_bits(value)
    return [define(f"{name}_HI", hi), define(f"{name}_LO", to_double(value - Decimal(hi)))]


def polynomial(name, title, term, skip, degree, lo, hi, nearest=to_double):
    """The series after its first `skip` terms; the error is relative to what it is a part of, the whole series."""
    coefficients = [nearest(c) for c in interpolate(series(lambda k: term(k + skip)), lo, hi, degree)]
    whole = series(term)
    worst = Decimal(0)
    for i in range(GRID + 1):
        x = lo + (hi - lo) * i / GRID
        exact = whole(x)
        near = horner([term(k) for k in range(skip)] + [Decimal(c) for c in coefficients], x)
        worst = max(worst, abs(near / exact - 1))
    error = float(worst.ln() / LN2)
    lines = [f"/* {title}, {float(lo):.6g} <= x <= {float(hi):.6g}: relative error 2^{error:.1f} of the whole */"]
    return lines + [define(f"{name}_{i}", c) for i, c in enumerate(coefficients)]


def header():
    # Arguments are reduced to [sqrt(1/2), sqrt(2)], so that s = (m - 1) / (m + 1) is at most (sqrt(2) - 1)^2.
    z_max = (Decimal(2).sqrt() - 1) ** 4
    # The sum of the two words that is rounded to an integer may leave a fraction a little beyond one half.
    f_max = Decimal("0.5") + Decimal(2) ** -20
    scale = 2 / LN2
    ln2_top = top_bits(LN2, 32)
    ln2_float_top = top_bits(LN2, 17)
    r_max = LN2 / 2 + Decimal(2) ** -12
    lines = [
        "/* Written by tools/make_math.py, which says how: change that, not this. */",
        "#ifndef CP_KERNELS_MATH_CONSTANTS_H",
        "#define CP_KERNELS_MATH_CONSTANTS_H",
        "",
        "/* sqrt(1/2): its bits cut the mantissas so that 1 lies inside */",
        f"#define CP_SQRT_HALF_BITS 0x{struct.pack('>d', to_double(Decimal('0.5').sqrt())).hex()}u",
        "",
        "/* log2(m) = s (C0 + z (C1 + z Q(z))), s = (m - 1) / (m + 1), z = s^2, C0 = 2/ln2, C1 = C0/3 */",
        *split("CP_LOG2_C0", scale),
        *split("CP_LOG2_C1", scale / 3),
        *polynomial("CP_LOG2_Q", "Q(x)", lambda k: atanh_term(k) / LN2, 2, 7, Decimal(0), z_max),
        "",
        "/* log2(m) = s L(z), for floats */",
        *polynomial("CP_LOG2_NEAR", "L(x)", lambda k: atanh_term(k) / LN2, 0, 5, Decimal(0), z_max),
        "",
        "/* 2^f = 1 + f (C1 + f (C2 + f P(f))), C1 = ln2, C2 = ln2^2 / 2 */",
        *split("CP_EXP2_C1", exp2_term(1)),
        *split("CP_EXP2_C2", exp2_term(2)),
        *polynomial("CP_EXP2_P", "P(x)", exp2_term, 3, 9, -f_max, f_max),
        "",
        "/* 2^f = 1 + f N(f), for floats */",
        *polynomial("CP_EXP2_NEAR", "N(x)", exp2_term, 1, 6, -f_max, f_max),
        "",
        "/* log(m) = s (2 + z R(z)); 1/ln2 and what that leaves; ln2; in two parts: exponents times the first are exact */",
        define("CP_LN2", to_double(LN2)),
        define("CP_LOG2_E", to_double(1 / LN2)),
        define("CP_LOG2_E_REST", to_double(1 / LN2 - Decimal(to_double(1 / LN2)))),
        define("CP_LN2_TOP", ln2_top),
        define("CP_LN2_REST", to_double(LN2 - Decimal(ln2_top))),
        *polynomial("CP_LOG_R", "R(x)", atanh_term, 1, 6, Decimal(0), z_max),
        "",
        "/* e^r = 1 + (r + r^2 F(r)), in float lanes; ln2 in two floats: exponents of 7 bits times the first are exact */",
        define("CP_LN2_FLOAT_TOP", ln2_float_top),
        define("CP_LN2_FLOAT_REST", to_float(LN2 - Decimal(ln2_float_top))),
        *polynomial("CP_EXP_F", "F(x)", exp_term, 2, 4, -r_max, r_max, to_float),
        "",
        "#endif",
    ]
    assert max(map(len, lines)) <= WIDTH
    return "\n".join(lines) + "\n"


def main():
    text = header()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text() != text:
            sys.exit(f"{TARGET} is not what {sys.argv[0]} writes")
        return
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
