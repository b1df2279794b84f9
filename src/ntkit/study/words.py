"""Numbers as the report and the summary write them."""

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
    """A score: an accuracy as a percentage, an error in the target's unit.

    Example:
        >>> score_text({"score": {"id": "rmse"}}, 1234567.8)
        '1,234,568'
    """
    if results["score"]["id"] == "accuracy":
        return percent(value)
    return f"{value:,.0f}" if 1e6 <= abs(value) < 1e12 else number(value)
