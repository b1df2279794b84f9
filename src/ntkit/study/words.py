"""Numbers as the sentences of the report write them."""

from typing import Any


def number(value: float) -> str:
    """A number for a sentence: three digits, powers of ten written out.

    Example:
        >>> number(0.98342), number(12345.6), number(3.2e-9)
        ('0.983', '12,346', '3.2·10⁻⁹')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}·10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def percent(value: float) -> str:
    """A share as a percentage.

    Example:
        >>> percent(0.98342)
        '98.3 %'
    """
    return f"{100 * value:.1f} %"


def score_text(results: dict[str, Any], value: float) -> str:
    """A score with its unit."""
    return percent(value) if results["score"]["id"] == "accuracy" else number(value)
