"""How a kernel matrix is cut into tiles: a plain value, for whoever computes them."""

import dataclasses
from typing import NamedTuple


class Tile(NamedTuple):
    """Rows and columns of a matrix.

    Attributes:
        number: Its place in the plan.
        rows: The rows.
        columns: The columns.
        own: Whether rows and columns are the same examples.
    """

    number: int
    rows: slice
    columns: slice
    own: bool

    @property
    def entries(self) -> int:
        """How many entries it has."""
        return (self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The tiles of a kernel matrix, of a symmetric one those on and above the diagonal.

    Attributes:
        rows: Rows of the matrix.
        columns: Columns of the matrix.
        side: Rows and columns of a tile; the last ones may have fewer.
        symmetric: Whether the matrix is a batch with itself.

    Example:
        >>> from ntkit.gram import Plan
        >>> plan = Plan(rows=5, columns=5, side=2, symmetric=True)
        >>> len(plan.tiles()), plan.tiles()[-1].rows
        (6, slice(4, 5, None))
    """

    rows: int
    columns: int
    side: int
    symmetric: bool

    def tiles(self) -> list[Tile]:
        """All tiles; those that share rows follow one another."""
        tiles: list[Tile] = []
        for i in range(0, self.rows, self.side):
            for j in range(i if self.symmetric else 0, self.columns, self.side):
                rows, columns = (
                    slice(i, min(i + self.side, self.rows)),
                    slice(j, min(j + self.side, self.columns)),
                )
                tiles.append(Tile(len(tiles), rows, columns, self.symmetric and i == j))
        return tiles
