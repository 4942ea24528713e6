"""Conversions between all dtypes.

Floats to integers truncate; what does not fit becomes the nearest integer that does, and NaN becomes 0, on
every processor. The half precisions are computed in float32: `widen` and `narrow` go from and to their
patterns. Where the processor has no instruction, integer operations do it, so no library is called.
"""

from __future__ import annotations

from lamina.backends.cpu.emit import ELEMENT, mangle, vector
from lamina.backends.cpu.math_vector import FLOAT, Vector, has
from lamina.core import dtypes

HALVES = ("float16", "bfloat16")


def cast(x: Vector, source: str, result: str) -> Vector:
    """x of dtype `source` as dtype `result`; any number but zero is True."""
    if source in HALVES:
        x, source = widen(x, source), "float32"
    if source == result:
        return x
    if result == "bool":
        return x.differs(0)
    if result in HALVES:
        # NumPy rounds float64 to float16 once; everything else reaches a half precision through float32.
        once = source == "float64" and result == "float16"
        return narrow(_to_odd_float32(x) if once else cast(x, source, "float32"), result)
    if dtypes.is_float(source):
        return _from_float(x, source, result)
    return _from_integer(x, source, result)


def _from_float(x: Vector, source: str, result: str) -> Vector:
    if dtypes.is_float(result):
        return x.convert("fpext" if source == "float32" else "fptrunc", ELEMENT[result])
    name = "fptoui.sat" if dtypes.is_unsigned(result) else "fptosi.sat"
    kind = vector(ELEMENT[result], x.lanes)
    suffix = f"{mangle(kind)}.{mangle(x.register.type)}"
    return x.of(x.builder.intrinsic(name, kind, x.register, suffix=suffix))


def _from_integer(x: Vector, source: str, result: str) -> Vector:
    """From an integer or a bool, which counts as an unsigned integer of one bit."""
    element = ELEMENT[result]
    unsigned = source == "bool" or dtypes.is_unsigned(source)
    if dtypes.is_float(result):
        if source == "bool":
            return x.where(x.full(1.0, element), 0.0)
        return x.convert("uitofp" if unsigned else "sitofp", element)
    if element == x.element:
        return x
    if int(element[1:]) < x.bits:
        return x.convert("trunc", element)
    return x.convert("zext" if unsigned else "sext", element)


def _to_odd_float32(x: Vector) -> Vector:
    """float64 to float32, an inexact result made odd: rounding it again then rounds as if once."""
    rounded = x.convert("fptrunc", "float")
    back = rounded.convert("fpext", "double")
    bits = rounded.as_bits()
    # Towards zero, then set the last bit. From infinity this gives the largest number, which overflows again.
    smaller = (back.absolute() > x.absolute()).where(bits - 1, bits)
    return back.compare("one", x).where(smaller | 1, bits).as_float()


# --- half precisions -------------------------------------------------------------------------------


def widen(x: Vector, dtype: str) -> Vector:
    """float16 or bfloat16 as float32, exactly."""
    if dtype == "bfloat16":
        return (_pattern(x).convert("zext", "i32") << 16).as_float()
    if _converts_float16(x):
        return x.convert("fpext", "float")
    return _widen_float16(_pattern(x).convert("zext", "i32"))


def narrow(x: Vector, dtype: str) -> Vector:
    """float32 rounded to float16 or bfloat16, halves to even; NaN stays NaN."""
    if dtype == "bfloat16":
        bits = x.as_bits()
        rounded = bits + 0x7FFF + (bits.unsigned_shift(16) & 1)
        kept = x.is_nan().where(bits | 0x400000, rounded)
        return _as_half(kept.unsigned_shift(16), "bfloat")
    if _converts_float16(x):
        return x.convert("fptrunc", "half")
    return _as_half(_narrow_float16(x), "half")


def _converts_float16(x: Vector) -> bool:
    return x.target.is_arm64 or has(x.target, "f16c")


def _pattern(x: Vector) -> Vector:
    return x.of(x.builder.convert("bitcast", x.register, "i16"))


def _as_half(bits: Vector, element: str) -> Vector:
    return bits.of(bits.builder.convert("bitcast", bits.convert("trunc", "i16").register, element))


def _widen_float16(bits: Vector) -> Vector:
    """Move the fields, then mend the two end exponents.

    Source: F. Giesen, half_to_float_fast (public domain).
    """
    magnitude = (bits & 0x7FFF) << 13
    exponent = magnitude & (0x1F << 23)
    normal = magnitude + ((FLOAT.bias - 15) << 23)
    special = normal + ((128 - 16) << 23)
    # A denormal is read as 2**-14 * (1 + m), of which the one is taken off again.
    denormal = ((normal + (1 << 23)).as_float() - 2.0**-14).as_bits()
    chosen = exponent.equals(0x1F << 23).where(special, exponent.equals(0).where(denormal, normal))
    return (chosen | ((bits & 0x8000) << 16)).as_float()


def _narrow_float16(x: Vector) -> Vector:
    """The pattern, in the low half of i32. Source: F. Giesen, float_to_half_fast3_rtne (public domain)."""
    bits = x.as_bits()
    magnitude = bits & 0x7FFFFFFF
    # Rebias, and round to even on the 13 bits that go.
    rebiased = magnitude - ((FLOAT.bias - 15) << 23)
    normal = (rebiased + 0xFFF + (magnitude.unsigned_shift(13) & 1)).unsigned_shift(13)
    # Adding 1/2 lets the addition round at the last place of a denormal.
    denormal = (magnitude.as_float() + 0.5).as_bits() - (126 << 23)
    large = x.is_nan().where(x.full(0x7E00, "i32"), 0x7C00)
    chosen = (magnitude < (113 << 23)).where(denormal, normal)
    chosen = (magnitude >= (143 << 23)).where(large, chosen)
    return chosen | (bits.unsigned_shift(16) & 0x8000)
