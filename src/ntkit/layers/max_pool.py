"""`MaxPool`, the largest value of every window of positions: a layer of finite networks."""

from typing import NoReturn

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.errors import NoClosedFormError
from ntkit.layer import Layer, Params, Shape
from ntkit.layers.pool import pool_windows, pooled_shape
from ntkit.layers.window import Extents, as_extents, check_window
from ntkit.moments import Moments, Need
from ntkit.moments.grid import window_max


class MaxPool(Layer):
    """y[p] = the largest x[p'] in the window of p, channel by channel; without a closed form.

    Moments of maxima over windows of k positions are integrals over 2k correlated variables, of which second moments
    give no formula. `nk.kernel(net, x, engine="monte_carlo")` takes them from finite networks. Where several values of a
    window are the largest, its derivative is shared among them.

    Args:
        window: Extent of the window, one number for all dimensions or one each.
        stride: Step between windows; None for the window's extent.
        padding: "VALID" (windows inside), "SAME" (what lies outside never is the largest), or "CIRCULAR" (round the grid).

    Raises:
        InputError: A value is out of range, or a window is larger than the image.
        NoClosedFormError: By any exact engine.

    Example:
        >>> import jax, jax.numpy as jnp, ntkit as nk
        >>> net = nk.MaxPool(2)
        >>> net.apply((), jnp.array([[[1.0], [3.0], [2.0], [0.0]]])).tolist()
        [[[3.0], [2.0]]]

    References:
        Novak et al. (2019), "Bayesian Deep Convolutional Networks with Many Channels are Gaussian Processes",
        section 4 (Monte Carlo, where a kernel has no closed form).
    """

    window: Extents = eqx.field(static=True, converter=as_extents)
    stride: Extents = eqx.field(static=True, converter=as_extents, default=None)
    padding: str = eqx.field(static=True, default="VALID")

    def __check_init__(self):
        """Check extents."""
        check_window(self, self.window)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        return (), (*pooled_shape(self, shape), shape[-1])

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        for d, window in enumerate(pool_windows(self, x.shape[1:-1])):
            x = window_max(x, 1 + d, window, "MaxPool")
        return jnp.asarray(x)

    def propagate(self, m: Moments) -> Moments:
        _refuse()

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        # Every exact reading asks this first, so that the refusal comes before any work.
        _refuse()


def _refuse() -> NoReturn:
    raise NoClosedFormError(
        "MaxPool: moments of a maximum over k positions are integrals over 2k correlated variables, which have no closed "
        'form. Remedy: AvgPool, whose kernel is exact, or engine="monte_carlo", which samples finite networks and gives '
        "standard errors"
    )
