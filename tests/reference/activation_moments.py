"""E[f(u) f(v)] and E[f'(u) f'(v)] of every closed form in 80 digits, straight from the textbook formulas.

With that many digits no care is needed: a gap E[(f(u) − f(v))²] is dual(q, q, q) + dual(q', q', q') − 2 dual(q, q', r).
"""

import mpmath as mp

mp.mp.dps = 80


def angle(q1, q2, r):
    if q1 == 0 or q2 == 0:
        return mp.pi / 2
    return mp.acos(max(mp.mpf(-1), min(mp.mpf(1), r / mp.sqrt(q1 * q2))))


def half_lines(neg, pos):
    neg, pos = mp.mpf(neg), mp.mpf(pos)

    def dual(q1, q2, r):
        arc = mp.sqrt(max(mp.mpf(0), q1 * q2 - r * r)) - angle(q1, q2, r) * r
        return (neg - pos) ** 2 / (2 * mp.pi) * arc + (neg**2 + pos**2) / 2 * r

    def slope(q1, q2, r):
        return (neg**2 + pos**2) / 2 - (neg - pos) ** 2 * angle(q1, q2, r) / (2 * mp.pi)

    return dual, slope


def erf(a, b, c):
    a, b, c = mp.mpf(a), mp.mpf(b), mp.mpf(c)

    def dual(q1, q2, r):
        return (
            a**2 * 2 / mp.pi * mp.asin(2 * b**2 * r / mp.sqrt((1 + 2 * b**2 * q1) * (1 + 2 * b**2 * q2)))
            + c**2
        )

    def slope(q1, q2, r):
        det = (1 + 2 * b**2 * q1) * (1 + 2 * b**2 * q2) - 4 * b**4 * r**2
        return 4 * a**2 * b**2 / (mp.pi * mp.sqrt(det))

    return dual, slope


def gelu():
    def parts(q1, q2, r):
        det = (1 + q1) * (1 + q2) - r**2
        f = mp.mpf(1) / 4 + mp.atan(r / mp.sqrt(det)) / (2 * mp.pi)
        a = 1 / (2 * mp.pi * mp.sqrt(det))
        s = 1 / (1 + q1) + 1 / (1 + q2)
        return det, f, a, s, q1 * q2 - r**2 + r**2 * s

    def dual(q1, q2, r):
        _, f, a, _, b = parts(q1, q2, r)
        return r * f + a * b

    def slope(q1, q2, r):
        det, f, a, s, b = parts(q1, q2, r)
        return f + r * a + r * a * b / det + 2 * r * a * (s - 1)

    return dual, slope


def sin(a, b, c):
    a, b, c = mp.mpf(a), mp.mpf(b), mp.mpf(c)

    def waves(q1, q2, r):
        m = mp.exp(-(b**2) * (q1 + q2 - 2 * r) / 2)
        return m, mp.exp(-(b**2) * (q1 + q2 + 2 * r) / 2) * mp.cos(2 * c)

    def dual(q1, q2, r):
        m, p = waves(q1, q2, r)
        return a**2 * (m - p) / 2

    def slope(q1, q2, r):
        m, p = waves(q1, q2, r)
        return a**2 * b**2 * (m + p) / 2

    return dual, slope


def cos(a, b, c):
    return sin(a, b, mp.mpf(c) + mp.pi / 2)


def rbf(gamma):
    gamma = mp.mpf(gamma)
    return (
        lambda q1, q2, r: mp.exp(-gamma * (q1 + q2 - 2 * r)),
        lambda q1, q2, r: 2 * gamma * mp.exp(-gamma * (q1 + q2 - 2 * r)),
    )


def gaussian(a, b):
    a, b = mp.mpf(a), mp.mpf(b)

    def det(q1, q2, r):
        return (1 - 2 * b * q1) * (1 - 2 * b * q2) - 4 * b**2 * r**2

    return (
        lambda q1, q2, r: a**2 / mp.sqrt(det(q1, q2, r)),
        lambda q1, q2, r: 4 * a**2 * b**2 * r / det(q1, q2, r) ** 1.5,
    )


def exp(a, b):
    a, b = mp.mpf(a), mp.mpf(b)

    def dual(q1, q2, r):
        return a**2 * mp.exp(b**2 * (q1 + q2 + 2 * r) / 2)

    return dual, lambda q1, q2, r: b**2 * dual(q1, q2, r)


def exp_normalized(gamma, shift):
    gamma, shift = mp.mpf(gamma), mp.mpf(shift)

    def bell(q1, q2, r):
        return mp.exp(gamma * (mp.cos(angle(q1, q2, r)) + shift))

    return (
        lambda q1, q2, r: mp.sqrt(q1 * q2) * bell(q1, q2, r),
        lambda q1, q2, r: gamma * bell(q1, q2, r),
    )


def gabor():
    def dual(q1, q2, r):
        # E[exp(−u² − v²) exp(i(u ± v))] is the characteristic function of a narrower normal law, at (1, ±1).
        det = (1 + 2 * q1) * (1 + 2 * q2) - 4 * r**2
        square = q1 * q2 - r**2
        c11, c22, c12 = (q1 + 2 * square) / det, (q2 + 2 * square) / det, r / det
        minus, plus = mp.exp(-(c11 + c22 - 2 * c12) / 2), mp.exp(-(c11 + c22 + 2 * c12) / 2)
        return (minus - plus) / (2 * mp.sqrt(det))

    def slope(q1, q2, r):
        h = mp.mpf(10) ** -26 * (1 + abs(r))
        return (dual(q1, q2, r + h) - dual(q1, q2, r - h)) / (2 * h)

    return dual, slope


def polynomial(powers):
    """Wick's theorem: E[u^m v^n] = Σ_k m! n!/(k! a! b! 2^(a+b)) q^a q'^b r^k, m = k + 2a, n = k + 2b."""
    powers = [mp.mpf(p) for p in powers]

    def moment(m, n, q1, q2, r):
        total = mp.mpf(0)
        for k in range(m % 2, min(m, n) + 1, 2):
            a, b = (m - k) // 2, (n - k) // 2
            within = mp.factorial(a) * mp.factorial(b) * 2 ** (a + b)
            ways = mp.factorial(m) * mp.factorial(n) / (mp.factorial(k) * within)
            total += ways * q1**a * q2**b * r**k
        return total

    def dual_of(c, q1, q2, r):
        return mp.fsum(
            x * y * moment(m, n, q1, q2, r)
            for m, x in enumerate(c)
            for n, y in enumerate(c)
            if (m - n) % 2 == 0 and x != 0 and y != 0
        )

    derivative = [j * p for j, p in enumerate(powers)][1:] or [mp.mpf(0)]
    return (lambda *s: dual_of(powers, *s)), (lambda *s: dual_of(derivative, *s))


def monomial(degree):
    return polynomial([0] * degree + [1])


def hermite(degree):
    before, powers = [mp.mpf(0)], [mp.mpf(1)]
    for n in range(degree):  # He_{n+1} = x He_n − n He_{n−1}
        shifted = [mp.mpf(0), *powers]
        before, powers = (
            powers,
            [s - n * (before[j] if j < len(before) else 0) for j, s in enumerate(shifted)],
        )
    return polynomial([p / mp.sqrt(mp.factorial(degree)) for p in powers])


def rectified_monomial(degree):
    """J_n = (−1)ⁿ sin²ⁿ⁺¹θ ((1/sin θ) ∂θ)ⁿ ((π − θ)/sin θ) of Cho and Saul, tabulated for n ≤ 3."""

    def j(n, t):
        s, c, rest = mp.sin(t), mp.cos(t), mp.pi - t
        return {
            0: rest,
            1: s + rest * c,
            2: 3 * s * c + rest * (1 + 2 * c**2),
            3: 4 * s**3 + 15 * s * c**2 + rest * (9 * s**2 * c + 15 * c**3),
        }[n]

    def dual_of(n, q1, q2, r):
        return mp.sqrt(q1 * q2) ** n * j(n, angle(q1, q2, r)) / (2 * mp.pi)

    return (
        lambda *s: dual_of(degree, *s),
        lambda *s: degree**2 * dual_of(degree - 1, *s),
    )


def sign():
    def dual(q1, q2, r):
        return 1 - 2 * angle(q1, q2, r) / mp.pi

    return dual, lambda *s: mp.inf


def step():
    def dual(q1, q2, r):
        return mp.mpf(1) / 2 - angle(q1, q2, r) / (2 * mp.pi)

    return dual, lambda *s: mp.inf
