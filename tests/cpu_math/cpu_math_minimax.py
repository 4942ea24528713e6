"""Where the polynomials in `lamina/backends/cpu/math_tables.py` come from: weighted minimax fits.

`python tests/cpu_math/cpu_math_minimax.py` prints every table anew; `test_cpu_math_tables.py` measures those
in use. Source: E. Remez, "Sur la détermination des polynômes d'approximation de degré donnée" (1934).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np

Real = Callable[[mpmath.mpf], mpmath.mpf]
DIGITS = 60
GRID = 1200


@dataclass(frozen=True)
class Fit:
    """Approximate `target` by sum(c[j] * x**j) for low <= x <= high, where errors count `weight` times.

    The weight makes the error relative to the function that the polynomial becomes a part of.
    """

    target: Real
    weight: Real
    low: float
    high: float
    terms: dict[str, int]  # dtype -> number of coefficients

    def points(self, count: int) -> list[mpmath.mpf]:
        """Chebyshev-spaced, ends included (shrunk by a hair, away from removable singularities)."""
        centre, half = mpmath.mpf(self.low + self.high) / 2, mpmath.mpf(self.high - self.low) / 2
        shrink = 1 - mpmath.mpf(10) ** -9
        return [centre - half * shrink * mpmath.cos(mpmath.pi * i / (count - 1)) for i in range(count)]


def _series(tail: Callable[[int], mpmath.mpf], x: mpmath.mpf) -> mpmath.mpf:
    """sum(tail(n) * x**n), for small x where the closed form would cancel."""
    total, power = mpmath.mpf(0), mpmath.mpf(1)
    for n in range(400):
        term = tail(n) * power
        total += term
        power *= x
        if n > 3 and abs(term) < mpmath.mpf(10) ** -(DIGITS + 5) * max(abs(total), mpmath.mpf(10) ** -30):
            break
    return total


def _exp_tail(r: mpmath.mpf) -> mpmath.mpf:
    return _series(lambda n: 1 / mpmath.factorial(n + 2), r)


def _log_tail(f: mpmath.mpf) -> mpmath.mpf:
    return _series(lambda n: mpmath.mpf((-1) ** n) / (n + 3), f)


def _sin_tail(z: mpmath.mpf) -> mpmath.mpf:
    return _series(lambda n: -mpmath.mpf((-1) ** n) / mpmath.factorial(2 * n + 3), z)


def _cos_tail(z: mpmath.mpf) -> mpmath.mpf:
    return _series(lambda n: mpmath.mpf((-1) ** n) / mpmath.factorial(2 * n + 4), z)


def _asin_tail(z: mpmath.mpf) -> mpmath.mpf:
    return _series(lambda n: mpmath.binomial(2 * n + 2, n + 1) / mpmath.mpf(4) ** (n + 1) / (2 * n + 3), z)


def _atan_tail(z: mpmath.mpf) -> mpmath.mpf:
    if z > 0.3:
        t = mpmath.sqrt(z)
        return (mpmath.atan(t) - t) / (z * t)
    return _series(lambda n: -mpmath.mpf((-1) ** n) / (2 * n + 3), z)


def _atanh_tail(z: mpmath.mpf) -> mpmath.mpf:
    return _series(lambda n: 1 / mpmath.mpf(2 * n + 5), z)


def _erf_rate(x: mpmath.mpf) -> mpmath.mpf:
    return -mpmath.log1p(-mpmath.erf(x)) / x if x < 1 else -mpmath.log(mpmath.erfc(x)) / x


def _ratio(function: Real, x: mpmath.mpf) -> mpmath.mpf:
    """function(x) / x, continued to 1 at 0."""
    return function(x) / x if x else mpmath.mpf(1)


def _erf_weight(x: mpmath.mpf) -> mpmath.mpf:
    return x * mpmath.erfc(x) / mpmath.erf(x)


HALF_LN2 = 0.3466
QUARTER_TURN = 0.7955

FITS: dict[str, Fit] = {
    # expm1(r) = r + r**2 * EXP(r)
    "EXP": Fit(
        _exp_tail,
        lambda r: abs(r) / _ratio(mpmath.expm1, r),
        -HALF_LN2,
        HALF_LN2,
        {"float32": 5, "float64": 10},
    ),
    # log1p(f) = f - f**2/2 + f**3 * LOG(f)
    "LOG": Fit(
        _log_tail, lambda f: f**2 / _ratio(mpmath.log1p, f), -0.25, 0.5, {"float32": 8, "float64": 20}
    ),
    # the same to 40 and 32 bits, in float64, for the power of float32 numbers
    "LOG_SHORT": Fit(_log_tail, lambda f: f**2 / _ratio(mpmath.log1p, f), -0.25, 0.5, {"float64": 13}),
    "EXP_SHORT": Fit(_exp_tail, lambda r: r**2 / mpmath.exp(r), -HALF_LN2, HALF_LN2, {"float64": 5}),
    # arctanh(s) = s + s**3/3 + s**5 * ATANH(s**2) to |s| = 0.2
    "ATANH": Fit(_atanh_tail, lambda z: z**2, 0, 0.0401, {"float64": 8}),
    # sin(r) = r + r**3 * SIN(r**2), cos(r) = 1 - r**2/2 + r**4 * COS(r**2)
    "SIN": Fit(
        _sin_tail,
        lambda z: z / _ratio(mpmath.sin, mpmath.sqrt(z)),
        0,
        QUARTER_TURN**2,
        {"float32": 3, "float64": 7},
    ),
    "COS": Fit(
        _cos_tail,
        lambda z: z**2 / mpmath.cos(mpmath.sqrt(z)),
        0,
        QUARTER_TURN**2,
        {"float32": 3, "float64": 7},
    ),
    # arcsin(x) = x + x**3 * ASIN(x**2) to |x| = 1/2
    "ASIN": Fit(
        _asin_tail, lambda z: z / _ratio(mpmath.asin, mpmath.sqrt(z)), 0, 0.25, {"float32": 5, "float64": 12}
    ),
    # arctan(t) = t + t**3 * ATAN(t**2) to |t| = 1
    "ATAN": Fit(
        _atan_tail, lambda z: z / _ratio(mpmath.atan, mpmath.sqrt(z)), 0, 1, {"float32": 9, "float64": 20}
    ),
    # erf(x) = -expm1(-x * ERF(x)), up to where it rounds to 1
    "ERF32": Fit(_erf_rate, _erf_weight, 0, 3.93, {"float32": 10}),
    "ERF64": Fit(_erf_rate, _erf_weight, 0, 5.95, {"float64": 26}),
}


def remez(fit: Fit, count: int) -> tuple[list[mpmath.mpf], mpmath.mpf]:
    """The `count` best coefficients, lowest power first, and their largest weighted error."""
    xs = fit.points(GRID)
    weights = [fit.weight(x) for x in xs]
    basis = [[w * x**j for j in range(count)] for x, w in zip(xs, weights)]
    values = [w * fit.target(x) for x, w in zip(xs, weights)]
    picked = [round((GRID - 1) * (i + 0.5) / (count + 1)) for i in range(count + 1)]
    for _ in range(40):
        matrix = mpmath.matrix(count + 1, count + 1)
        right = mpmath.matrix(count + 1, 1)
        for row, at in enumerate(picked):
            for j in range(count):
                matrix[row, j] = basis[at][j]
            matrix[row, count] = (-1) ** row
            right[row] = values[at]
        solution = mpmath.lu_solve(matrix, right)
        coefficients = [solution[j] for j in range(count)]
        errors = [v - mpmath.fdot(coefficients, row) for v, row in zip(values, basis)]
        worst = max(abs(error) for error in errors)
        if worst <= abs(solution[count]) * 1.001:
            break
        picked = _exchange(errors, count + 1)
    return coefficients, worst


def _exchange(errors: list[mpmath.mpf], count: int) -> list[int]:
    """The extreme point of each run of one sign, the `count` neighbouring ones with the largest smallest."""
    runs: list[int] = []
    for at, error in enumerate(errors):
        if runs and (error > 0) == (errors[runs[-1]] > 0):
            if abs(error) > abs(errors[runs[-1]]):
                runs[-1] = at
        else:
            runs.append(at)
    while len(runs) > count:
        if len(runs) - count >= 2:
            smallest = min(range(len(runs)), key=lambda i: abs(errors[runs[i]]))
            if 0 < smallest < len(runs) - 1:
                drop = max(smallest - 1, smallest + 1, key=lambda i: -abs(errors[runs[i]]))
                for i in sorted((smallest, drop), reverse=True):
                    del runs[i]
                continue
            del runs[smallest]
            continue
        del runs[0 if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else -1]
    if len(runs) < count:
        raise ArithmeticError("Remez: too few alternations; the grid is too coarse or the precision too low")
    return runs


def fit_rounded(fit: Fit, dtype: str) -> tuple[list[float], mpmath.mpf]:
    """Coefficients rounded to `dtype`, lowest power first, and their largest weighted error."""
    mpmath.mp.dps = DIGITS
    solution, _ = remez(fit, fit.terms[dtype])
    if dtype == "float32":
        return _settle_float32(fit, [float(c) for c in solution])
    coefficients = [float(c) for c in solution]
    return coefficients, error_of(fit, coefficients)


def _settle_float32(fit: Fit, exact: list[float]) -> tuple[list[float], mpmath.mpf]:
    """Round to float32, then walk to neighbouring numbers, one or two at a time, while that helps.

    float64 is precise enough to measure float32 errors with.
    """
    points = fit.points(GRID // 4)
    xs = np.array([float(x) for x in points])
    weights = np.array([float(fit.weight(x)) for x in points])
    wanted = np.array([float(fit.target(x)) for x in points])

    def measure(c: list[np.float32]) -> float:
        return float(np.max(np.abs(weights * (wanted - np.polyval(np.array(c[::-1], np.float64), xs)))))

    best = [np.float32(c) for c in exact]
    least = measure(best)
    moves = [(first, second) for first in range(len(best)) for second in range(first, len(best))]
    improved = True
    while improved:
        improved = False
        for first, second in moves:
            for up, other_up in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                tried = list(best)
                tried[first] = np.nextafter(tried[first], np.float32(up * np.inf))
                tried[second] = np.nextafter(tried[second], np.float32(other_up * np.inf))
                error = measure(tried)
                if error < least * 0.9999:
                    best, least, improved = tried, error, True
    return [float(c) for c in best], error_of(fit, [float(c) for c in best])


def _horner(coefficients, x):
    """The polynomial at x in mpmath's precision; the constant coefficient comes first."""
    total = mpmath.mpf(0)
    for coefficient in reversed(coefficients):
        total = total * x + mpmath.mpf(coefficient)
    return total


def error_of(fit: Fit, coefficients: list[float], points: int = GRID // 4) -> mpmath.mpf:
    """The largest weighted error of a polynomial."""
    mpmath.mp.dps = DIGITS
    return max(abs(fit.weight(x) * (fit.target(x) - _horner(coefficients, x))) for x in fit.points(points))


def main(names: list[str]) -> None:
    for name in names or FITS:
        fit = FITS[name]
        for dtype in fit.terms:
            coefficients, error = fit_rounded(fit, dtype)
            print(f"# {name} {dtype}: error 2**{float(mpmath.log(error, 2)):.2f}")
            for c in coefficients:
                print(f"    {c!r},")


if __name__ == "__main__":
    main(sys.argv[1:])
