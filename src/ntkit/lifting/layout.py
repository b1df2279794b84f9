"""Windows as ntkit says them: padding by name where there is one, else by numbers."""

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
) -> str | tuple[tuple[int, int], ...]:
    """A padding that is given as how many positions are added below and above: its name, or the numbers.

    Args:
        pads: (below, above), one pair for each dimension.
        kernel_size: Extents of the window.
        stride: Steps between windows.
        dilation: Steps between taps.
        mode: What is added: "zeros" or "circular".

    Raises:
        InputError: It is circular and not what "CIRCULAR" means, or neither zeros nor circular.
    """
    pads = tuple((int(low), int(high)) for low, high in pads)
    if all(pair == (0, 0) for pair in pads):
        return "VALID"
    if mode.lower() not in ("zeros", "circular"):
        raise InputError(f"the padding {mode!r} is none of ntkit's; zeros and circular are")
    reaches = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    same = tuple(((reach - 1) // 2, reach // 2) for reach in reaches)
    whole = all(step == 1 or reach == 1 for step, reach in zip(stride, reaches, strict=True))
    if pads == same and whole:
        return "SAME" if mode.lower() == "zeros" else "CIRCULAR"
    if mode.lower() == "zeros":
        return pads
    raise InputError(
        f"circular padding {pads} with kernel {kernel_size}, stride {stride} is none of ntkit's, which adds half of an odd "
        "kernel around a stride of 1"
    )


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
