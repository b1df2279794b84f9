"""Lets the API page show the section `Example:` of a docstring as `Examples:`, the one name that griffe knows."""

from typing import Any

import griffe


class ExamplesSection(griffe.Extension):
    """Renames the section in every docstring that is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
