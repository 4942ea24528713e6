"""Hashes of byte strings that are the same on every machine and for ever: buckets for words without a list.

`fingerprint64` is FarmHash's Fingerprint64 (G. Pike, "FarmHash", 2014), `siphash` is SipHash-2-4 (J.-P.
Aumasson, D. Bernstein, "SipHash: a fast short-input PRF", 2012): those of TensorFlow and Keras, so that a
word falls into the same bucket here as there.
"""

from __future__ import annotations

_MASK = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_CAT = 0xC6A4A7935BD1E995


def _fetch64(text: bytes, at: int) -> int:
    return int.from_bytes(text[at : at + 8], "little")


def _fetch32(text: bytes, at: int) -> int:
    return int.from_bytes(text[at : at + 4], "little")


def _rotate(value: int, shift: int) -> int:
    value &= _MASK
    return ((value >> shift) | (value << (64 - shift))) & _MASK


def _shift_mix(value: int) -> int:
    value &= _MASK
    return value ^ (value >> 47)


def _mix16(low: int, high: int, factor: int) -> int:
    first = _shift_mix(((low ^ high) & _MASK) * factor)
    return (_shift_mix(((high ^ first) & _MASK) * factor) * factor) & _MASK


def fingerprint64(text: bytes) -> int:
    """FarmHash Fingerprint64 of a byte string, 0 to 2**64 - 1."""
    length = len(text)
    if length <= 16:
        return _up_to_16(text, length)
    if length <= 32:
        return _up_to_32(text, length)
    if length <= 64:
        return _up_to_64(text, length)
    return _longer(text, length)


def _up_to_16(text: bytes, length: int) -> int:
    factor = (_K2 + length * 2) & _MASK
    if length >= 8:
        a, b = _fetch64(text, 0) + _K2, _fetch64(text, length - 8)
        return _mix16((_rotate(b, 37) * factor + a) & _MASK, ((_rotate(a, 25) + b) * factor) & _MASK, factor)
    if length >= 4:
        return _mix16(length + (_fetch32(text, 0) << 3), _fetch32(text, length - 4), factor)
    if length:
        y, z = text[0] + (text[length >> 1] << 8), length + (text[length - 1] << 2)
        return (_shift_mix((y * _K2) ^ (z * _K0)) * _K2) & _MASK
    return _K2


def _halves(text: bytes, length: int, factor: int) -> tuple[int, int, int]:
    a, b = _fetch64(text, 0), _fetch64(text, 8)
    a = (a * (_K1 if length <= 32 else _K2)) & _MASK
    c, d = (_fetch64(text, length - 8) * factor) & _MASK, _fetch64(text, length - 16) * _K2
    return (
        (_rotate(a + b, 43) + _rotate(c, 30) + d) & _MASK,
        (a + _rotate(b + _K2, 18) + c) & _MASK,
        a,
    )


def _up_to_32(text: bytes, length: int) -> int:
    factor = (_K2 + length * 2) & _MASK
    low, high, _ = _halves(text, length, factor)
    return _mix16(low, high, factor)


def _up_to_64(text: bytes, length: int) -> int:
    factor = (_K2 + length * 2) & _MASK
    y, high, a = _halves(text, length, factor)
    z = _mix16(y, high, factor)
    e, f = (_fetch64(text, 16) * factor) & _MASK, _fetch64(text, 24)
    g = ((y + _fetch64(text, length - 32)) * factor) & _MASK
    h = ((z + _fetch64(text, length - 24)) * factor) & _MASK
    return _mix16(
        (_rotate(e + f, 43) + _rotate(g, 30) + h) & _MASK, (e + _rotate(f + a, 18) + g) & _MASK, factor
    )


def _weak(text: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = (_fetch64(text, at + step) for step in (0, 8, 16, 24))
    a = (a + w) & _MASK
    b = _rotate(b + a + z, 21)
    c = a
    a = (a + x + y) & _MASK
    return (a + z) & _MASK, (b + _rotate(a, 44) + c) & _MASK


def _longer(text: bytes, length: int) -> int:
    x = 81
    y = (81 * _K1 + 113) & _MASK
    z = (_shift_mix(y * _K2 + 113) * _K2) & _MASK
    v = w = (0, 0)
    x = (x * _K2 + _fetch64(text, 0)) & _MASK
    end = (length - 1) // 64 * 64

    def turn(
        at: int, factor: int, w1: int, v0: int
    ) -> tuple[int, int, int, tuple[int, int], tuple[int, int]]:
        nx = (_rotate(x + y + v[0] + _fetch64(text, at + 8), 37) * factor) & _MASK
        ny = (_rotate(y + v[1] + _fetch64(text, at + 48), 42) * factor) & _MASK
        nx ^= w1
        ny = (ny + v0 + _fetch64(text, at + 40)) & _MASK
        nz = (_rotate(z + w[0], 33) * factor) & _MASK
        nv = _weak(text, at, v[1] * factor, nx + w[0])
        nw = _weak(text, at + 32, nz + w[1], ny + _fetch64(text, at + 16))
        return nz, ny, nx, nv, nw  # x and z change places

    for at in range(0, end, 64):
        x, y, z, v, w = turn(at, _K1, w[1], v[0])
    factor = (_K1 + ((z & 0xFF) << 1)) & _MASK
    rest = (length - 1) & 63
    w0 = (w[0] + rest) & _MASK
    v = ((v[0] + w0) & _MASK, v[1])
    w = ((w0 + v[0]) & _MASK, w[1])
    x, y, z, v, w = turn(end + rest - 63, factor, (w[1] * 9) & _MASK, v[0] * 9)
    return _mix16(
        (_mix16(v[0], w[0], factor) + _shift_mix(y) * _K0 + z) & _MASK,
        (_mix16(v[1], w[1], factor) + x) & _MASK,
        factor,
    )


def concatenated(first: int, second: int) -> int:
    """The fingerprint of two fingerprints, in this order."""
    result = (first ^ _CAT) & _MASK
    result ^= (_shift_mix(second * _CAT) * _CAT) & _MASK
    result = (result * _CAT) & _MASK
    return _shift_mix(_shift_mix(result) * _CAT)


def siphash(text: bytes, key: tuple[int, int]) -> int:
    """SipHash-2-4 of a byte string under a key of two 64-bit numbers."""
    k0, k1 = key
    state = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]
    whole = len(text) // 8 * 8
    words = [_fetch64(text, at) for at in range(0, whole, 8)]
    words.append(int.from_bytes(text[whole:], "little") | ((len(text) & 0xFF) << 56))
    for word in words:
        state[3] ^= word
        for _ in range(2):
            _sip_round(state)
        state[0] ^= word
    state[2] ^= 0xFF
    for _ in range(4):
        _sip_round(state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _sip_round(v: list[int]) -> None:
    v[0] = (v[0] + v[1]) & _MASK
    v[1] = _rotate(v[1], 51) ^ v[0]
    v[0] = _rotate(v[0], 32)
    v[2] = (v[2] + v[3]) & _MASK
    v[3] = _rotate(v[3], 48) ^ v[2]
    v[0] = (v[0] + v[3]) & _MASK
    v[3] = _rotate(v[3], 43) ^ v[0]
    v[2] = (v[2] + v[1]) & _MASK
    v[1] = _rotate(v[1], 47) ^ v[2]
    v[2] = _rotate(v[2], 32)
