"""Windows as ntkit says them: padding by name."""

from collections.abc import Sequence

from ntkit.errors import InputError

Pads = Sequence[tuple[int, int]]


def each(value: int | Sequence[int] | None, dimensions: int) -> tuple[int, ...]:
    """One number for each dimension; None is 1."""
    if isinstance(value, Sequence):
        return tuple(int(v) for v in value)
    return (1 if value is None else int(value),) * dimensions


def padding_of(
    pads: Pads,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    mode: str = "zeros",
) -> str:
    """The name of a padding that is given as how many positions are added below and above.

    Args:
        pads: (below, above), one pair for each dimension.
        kernel_size: Extents of the window.
        stride: Steps between windows.
        dilation: Steps between taps.
        mode: What is added: "zeros" or "circular".

    Raises:
        InputError: No name says this. "SAME" starts its windows by the image's extent where the stride is not 1, so it
            does not stand for fixed numbers there.
    """
    pads = tuple((int(low), int(high)) for low, high in pads)
    if all(pair == (0, 0) for pair in pads):
        return "VALID"
    name = {"zeros": "SAME", "circular": "CIRCULAR"}.get(mode.lower())
    if name is None:
        raise InputError(f"the padding {mode!r} is none of ntkit's; zeros and circular are")
    reaches = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    same = tuple(((reach - 1) // 2, reach // 2) for reach in reaches)
    whole = all(step == 1 or reach == 1 for step, reach in zip(stride, reaches, strict=True))
    if pads != same or not whole:
        raise InputError(
            f"padding {pads} with kernel {kernel_size}, stride {stride} is neither SAME nor VALID; ntkit has explicit "
            "padding only where it is one of the two: stride 1 and half of an odd kernel"
        )
    return name


def name_of(padding: str, kernel_size: tuple[int, ...], stride: tuple[int, ...]) -> str:
    """A padding that is given by name, where ntkit means the same by it.

    Raises:
        InputError: The name is unknown, or CIRCULAR with a stride, where conventions differ.
    """
    name = padding.upper()
    if name not in ("SAME", "VALID", "CIRCULAR"):
        raise InputError(f"the padding {padding!r} is none of ntkit's; SAME, VALID and CIRCULAR are")
    if name == "CIRCULAR" and any(s > 1 and k > 1 for s, k in zip(stride, kernel_size, strict=True)):
        raise InputError("circular padding with a stride starts elsewhere in ntkit; use stride 1 and a pool")
    return name
