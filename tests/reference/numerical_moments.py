"""E[f(u) f(v)] and E[f'(u) f'(v)] without a closed form, by rules that share nothing with those of the library.

* `on_line`: correlation ±1 or 0, by mpmath's tanh-sinh rule in 50 digits.
* `in_plane`: analytic f, by the trapezoidal rule in the plane, in float64. On analytic functions it converges
  geometrically, at the rate of the distance to the nearest pole; the step is halved until nothing changes.
* `elu`: mpmath in 50 digits, the inner integral in closed form.
"""

import mpmath as mp
import numpy as np

mp.mp.dps = 50


def m_sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def m_sigmoid_slope(x):
    return m_sigmoid(x) * m_sigmoid(-x)


def n_sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1 + e)


def n_sigmoid_slope(x):
    return n_sigmoid(x) * n_sigmoid(-x)


# f, f' in mpmath and in numpy.
FUNCTIONS = {
    "tanh": (mp.tanh, lambda x: mp.sech(x) ** 2, np.tanh, lambda x: 4 * n_sigmoid_slope(2 * x)),
    "sigmoid": (m_sigmoid, m_sigmoid_slope, n_sigmoid, n_sigmoid_slope),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), m_sigmoid, lambda x: np.logaddexp(0, x), n_sigmoid),
    "silu": (
        lambda x: x * m_sigmoid(x),
        lambda x: m_sigmoid(x) + x * m_sigmoid_slope(x),
        lambda x: x * n_sigmoid(x),
        lambda x: n_sigmoid(x) + x * n_sigmoid_slope(x),
    ),
}


def expectation(g, var):
    """E[g(u)], u of variance `var`, in 50 digits; g smooth but at 0."""
    if var == 0:
        return g(mp.mpf(0))
    std = mp.sqrt(var)
    inner = [e for e in (mp.mpf(1), mp.mpf(4), mp.mpf(16), mp.mpf(64)) if e < std]
    edges = sorted({*inner, *(k * std for k in (1, 4, 9, 16))})
    edges = [-e for e in reversed(edges)] + [mp.mpf(0), *edges]
    return mp.quad(lambda x: g(x) * mp.npdf(x, 0, std), edges)


def on_line(name, order, var1, var2, correlation):
    """The moment at correlation 1, −1 or 0."""
    f = FUNCTIONS[name][order]
    var1, var2 = mp.mpf(var1), mp.mpf(var2)
    if correlation == 0 or var1 == 0 or var2 == 0:
        return expectation(f, var1) * expectation(f, var2)
    (small, large) = sorted((var1, var2))
    ratio = correlation * mp.sqrt(small / large)
    return expectation(lambda x: f(x) * f(ratio * x), large)


def in_plane(name, order, var1, var2, one_minus, sign=1.0):
    """The moment at correlation sign·(1 − one_minus)."""
    f = FUNCTIONS[name][2 + order]
    large, small = (np.sqrt(v) for v in sorted((var1, var2), reverse=True))
    c, s = 1 - one_minus, np.sqrt(one_minus * (2 - one_minus))

    def at(step_z, step_w):
        z, w = (h * np.arange(-int(9.2 / h), int(9.2 / h) + 1) for h in (step_z, step_w))
        inner = np.zeros_like(z)
        for start in range(0, len(w), 500):
            part = w[start : start + 500]
            weight = np.exp(-(part**2) / 2) * step_w / np.sqrt(2 * np.pi)
            inner += f(sign * small * (c * z[:, None] + s * part)) @ weight
        return np.sum(f(large * z) * inner * np.exp(-(z**2) / 2)) * step_z / np.sqrt(2 * np.pi)

    # Poles lie at ±iπ/2 (tanh) or ±iπ: 2π·(π/2)/h of the variable's own scale is the exponent of the error.
    step_z, step_w = 0.2 / max(1.0, large), 0.2 / max(1.0, small * s)
    return at(step_z, step_w)


def elu(order, var1, var2, one_minus, sign=1, alpha=1.0):
    """The moment of elu (order 0) or its derivative (order 1), at correlation sign·(1 − one_minus)."""
    alpha, one_minus = mp.mpf(alpha), mp.mpf(one_minus)
    large, small = (mp.sqrt(mp.mpf(v)) for v in sorted((var1, var2), reverse=True))
    tau = small * mp.sqrt(one_minus * (2 - one_minus))
    ratio = sign * (1 - one_minus) * small / large if large else mp.mpf(0)

    def f(x):
        if order == 0:
            return x if x > 0 else alpha * mp.expm1(x)
        if x == 0:  # of a variable of variance 0: the mean of the two sides
            return (1 + alpha) / 2
        return mp.mpf(1) if x > 0 else alpha * mp.exp(x)

    def smoothed(m):
        if tau == 0:
            return f(m)
        left = mp.exp(m + tau**2 / 2) * mp.ncdf(-(m + tau**2) / tau)
        if order == 0:
            return m * mp.ncdf(m / tau) + tau * mp.npdf(m / tau) + alpha * (left - mp.ncdf(-m / tau))
        return mp.ncdf(m / tau) + alpha * left

    if large == 0:
        return f(mp.mpf(0)) ** 2 if order == 0 else ((1 + alpha) / 2) ** 2
    layer = tau / abs(ratio) if ratio else mp.mpf(0)
    features = [layer * k for k in (1, 6) if layer] + [mp.mpf(k) for k in (1, 6, 36)]
    edges = sorted({e for e in features if e < large} | {large * k for k in (1, 5, 15)})
    edges = [-e for e in reversed(edges)] + [mp.mpf(0), *edges]
    return mp.quad(lambda x: f(x) * smoothed(ratio * x) * mp.npdf(x, 0, large), edges)
