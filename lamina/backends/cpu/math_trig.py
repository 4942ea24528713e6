"""sin, cos, tan and their inverses.

An angle x is a whole number of quarter turns and a rest: x = k*pi/2 + r with |r| <= pi/4. Up to a bound,
k*pi/2 is taken off in parts (W. Cody and W. Waite, 1980). Beyond it, the digits of 2/pi that matter are
multiplied exactly (M. Payne and R. Hanek, "Radian reduction for trigonometric functions", 1983): slower, but
right for every float.

"Error" is the largest one measured, in units in the last place (ulp), for float32 and float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from lamina.backends.cpu.math_double import two_product, two_sum
from lamina.backends.cpu.math_tables import (
    ASIN,
    ATAN,
    COS,
    HALF_PI,
    HALF_PI_FUSED,
    HALF_PI_SPLIT,
    SIN,
    TWO_OVER_PI,
)
from lamina.backends.cpu.math_vector import DOUBLE, Vector, fma, gather, polynomial, where_rare

NAN = float("nan")
PI = 2 * HALF_PI

# Up to here the quick reduction is right; less without fused multiply-add.
QUICK = {"float32": 1e5, "float64": 1e6}
QUICK_SPLIT = {"float32": 1.2e4, "float64": 1e6}


# --- quarter turns ---------------------------------------------------------------------------------


def quarter_turns(x: Vector) -> tuple[Vector, Vector]:
    """(k, r): k as an integer of which the low two bits count, and the rest r as a float like x."""
    form, fused = x.format, x.target.fma
    shifted = fma(x, TWO_OVER_PI, form.magic)
    k = shifted - form.magic
    r = x
    for part in (HALF_PI_FUSED if fused else HALF_PI_SPLIT)[form.dtype]:
        r = fma(k, -part, r)
    far = x.absolute() > (QUICK if fused else QUICK_SPLIT)[form.dtype]
    quadrant, rest = where_rare(far, (shifted.as_bits(), r), lambda: _far_quarter_turns(x))
    return quadrant, rest


def _far_quarter_turns(x: Vector) -> tuple[Vector, Vector]:
    """The same for large numbers, in float64: the fraction of x * 2/pi is summed from exact products.

    x = y * 2**(32*j) with y whole, so whole multiples of 4 may be left out of 2**(32*j) * 2/pi, which is row
    j of a table.
    """
    wide = x if x.element == "double" else x.convert("fpext", "double")
    exponent = (wide.as_bits().unsigned_shift(DOUBLE.mantissa) & 0x7FF) - (DOUBLE.bias + DOUBLE.mantissa)
    row = (exponent > 0).where(exponent, 0).unsigned_shift(5)
    y = (wide.as_bits() - (row << (5 + DOUBLE.mantissa))).as_float()
    largest, large, small, smallest = gather("two_over_pi", _DIGITS, row, _two_over_pi())
    high, low, middle = two_product(y, largest), two_product(y, large), two_product(y, small)
    terms = [*high, low.high, low.low, *middle, y * smallest]
    # The first three may reach 2**87, the others are below 1/2.
    counts = []
    for at in range(3):
        near = terms[at] - (terms[at] * 0.25).rint() * 4.0
        counts.append(near.rint())
        terms[at] = near - counts[at]
    rough = terms[0] + terms[1] + terms[2]
    counts.append(rough.rint())
    whole = counts[0] + counts[1] + counts[2] + counts[3]
    # Infinity loses its exponent above; it minus itself is NaN, and of other numbers 0.
    fraction = _exact_sum([-counts[3], *terms], passes=2 if x.element == "double" else 1) + (wide - wide)
    shifted = (whole + DOUBLE.magic).as_bits()
    r = fraction * HALF_PI
    if x.element == "double":
        return shifted, r
    return shifted.convert("trunc", x.format.integer), r.convert("fptrunc", x.element)


def _exact_sum(terms: Sequence[Vector], passes: int) -> Vector:
    """A sum as if computed with 1 + `passes` times the digits (T. Ogita, S. Rump, S. Oishi, 2005)."""
    terms = list(terms)
    for _ in range(passes):
        for at in range(1, len(terms)):
            terms[at], terms[at - 1] = two_sum(terms[at], terms[at - 1])
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


_DIGITS = 4  # float64 numbers per row: 212 bits
_ROWS = 31


@lru_cache(maxsize=1)
def _two_over_pi() -> list[list[float]]:
    """Row j: 2**(32*j) * 2/pi modulo 4, as an unevaluated sum, largest first, computed in integers."""
    bits = 32 * _ROWS + 320
    scaled = (2 << (2 * bits)) // _pi_times_two_to(bits)
    rows = []
    for row in range(_ROWS):
        rest = (scaled << (32 * row)) % (4 << bits)
        parts = []
        for _ in range(_DIGITS):
            drop = max(rest.bit_length() - 53, 0)
            digits = rest >> drop
            parts.append(float(digits) * 2.0 ** (drop - bits))
            rest -= digits << drop
        rows.append(parts)
    return rows


def _pi_times_two_to(bits: int) -> int:
    """floor(pi * 2**bits), by Machin's formula in integers."""
    guard = 32

    def arctan_of_inverse(n: int) -> int:
        term = (1 << (bits + guard)) // n
        total, odd = term, 1
        while term:
            term //= -n * n
            odd += 2
            total += term // odd
        return total

    return 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239)) >> guard


# --- sin, cos, tan ---------------------------------------------------------------------------------


def _sin_of_rest(r: Vector, square: Vector) -> Vector:
    return fma(r * square, polynomial(square, SIN[r.format.dtype]), r)


def _cos_of_rest(r: Vector, square: Vector) -> Vector:
    return fma(square, fma(square, polynomial(square, COS[r.format.dtype]), -0.5), 1.0)


def _sine_like(x: Vector, ahead: int) -> Vector:
    """sin(x + ahead*pi/2)."""
    k, r = quarter_turns(x)
    if ahead:
        k = k + ahead
    square = r * r
    odd = (k & 1).differs(0)
    value = odd.where(_cos_of_rest(r, square), _sin_of_rest(r, square))
    sign = (k & 2) << (k.bits - 2)
    return (value.as_bits() ^ sign).as_float()


def sin(x: Vector) -> Vector:
    """Error: 1.6 ulp and 2.4 (2.1 below the bound); float32 without fused multiply-add 2.0."""
    # The rest of -0 loses its sign where x - 0*part is computed without fused multiply-add.
    return x.equals(0.0).where(x, _sine_like(x, 0))


def cos(x: Vector) -> Vector:
    """Error: as sin."""
    return _sine_like(x, 1)


def tan(x: Vector) -> Vector:
    """sin/cos of the rest, or -cos/sin after an odd number of quarter turns. Error: 3.5 and 3.6 ulp."""
    k, r = quarter_turns(x)
    square = r * r
    sine, cosine = _sin_of_rest(r, square), _cos_of_rest(r, square)
    odd = (k & 1).differs(0)
    quotient = odd.where(cosine, sine) / odd.where(-sine, cosine)
    return x.equals(0.0).where(x, quotient)


# --- inverses --------------------------------------------------------------------------------------


def _half_angle(size: Vector) -> tuple[Vector, Vector, Vector]:
    """(|x| > 1/2, t, arcsin(t)) with t = |x|, or sqrt((1 - |x|)/2) for large ones."""
    large = size > 0.5
    square = large.where((1.0 - size) * 0.5, size * size)
    t = large.where(square.sqrt(), size)
    return large, t, fma(t * square, polynomial(square, ASIN[size.format.dtype]), t)


def arcsin(x: Vector) -> Vector:
    """Up to 1/2 a polynomial; beyond, pi/2 - 2*arcsin(sqrt((1 - |x|)/2)). NaN outside [-1, 1].

    Error: 2.4 and 2.2 ulp.
    """
    large, _, angle = _half_angle(x.absolute())
    return large.where(fma(angle, -2.0, HALF_PI), angle).with_sign_of(x)


def arccos(x: Vector) -> Vector:
    """pi/2 - arcsin(x), or 2*arcsin(sqrt((1 - |x|)/2)), from pi where x is negative. Error: 1.3 ulp."""
    large, _, angle = _half_angle(x.absolute())
    twice = angle + angle
    far = (x < 0.0).where(PI - twice, twice)
    return large.where(far, HALF_PI - angle.with_sign_of(x))


def _arctan_of_ratio(t: Vector) -> Vector:
    """arctan(t) for 0 <= t <= 1."""
    square = t * t
    return fma(t * square, polynomial(square, ATAN[t.format.dtype]), t)


def arctan(x: Vector) -> Vector:
    """Beyond 1, pi/2 - arctan(1/|x|). Error: 2.0 and 1.6 ulp."""
    size = x.absolute()
    large = size > 1.0
    angle = _arctan_of_ratio(large.where(1.0, size) / large.where(size, 1.0))
    return large.where(HALF_PI - angle, angle).with_sign_of(x)


def arctan2(y: Vector, x: Vector) -> Vector:
    """The angle of the point (x, y), signed zeros and infinities as in C. Error: 2.0 and 1.6 ulp."""
    height, width = y.absolute(), x.absolute()
    steep = height > width
    small, large = steep.where(width, height), steep.where(height, width)
    # 0/0 and inf/inf stand for 0 and 1.
    ratio = small.equals(large).where(1.0, small / large)
    ratio = small.equals(0.0).where(0.0, ratio)
    angle = _arctan_of_ratio(ratio)
    angle = steep.where(HALF_PI - angle, angle)
    behind = x.as_bits() < 0
    angle = behind.where(PI - angle, angle).with_sign_of(y)
    return x.compare("uno", y).where(x + y, angle)
