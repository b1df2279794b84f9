"""A CSV, TSV or Parquet file as a table: numeric columns, categorical columns, and one target column."""

from pathlib import Path
from typing import Any

import numpy as np

from ntkit.datasets.dataset import LARGEST, Dataset, Table
from ntkit.datasets.target import code_target
from ntkit.errors import InputError
from ntkit.spec import nearest

SUFFIXES = (".csv", ".tsv", ".parquet")
MISSING = ["", "NA", "N/A", "n/a", "<NA>", "#N/A", "null", "NULL", "None", "?"]
NOT_FINITE = {"nan", "inf", "infinity"}


def load_table(path: Path, target: str | None, task: str | None) -> Dataset:
    """The data set of a table file.

    Cells that are empty or hold NA, N/A, null, None or ? are missing. A column is numeric where all its other cells are
    numbers, else categorical. Rows without a target are left out, and so are categorical columns that look like
    identifiers; `Dataset.notes` says so.

    Raises:
        InputError: the file cannot be read, the target is not named or not there, no row or no column is left, or a
            cell of a numeric column is NaN, infinite or too large to be squared.
    """
    frame = read_frame(path)
    columns = [str(c) for c in frame.columns]
    if target is None:
        raise InputError(f"{path.name} needs --target COLUMN, one of: {_listing(columns)}")
    if target not in columns:
        raise InputError(f"{path.name} has no column {target!r}{nearest(target, columns)}")
    notes: list[str] = []
    with_target = frame[target].notna().to_numpy()
    if not with_target.all():
        notes.append(
            f"{int((~with_target).sum())} of {len(frame)} rows have no value of {target!r} and were left out."
        )
    values = column_values(frame[target], path)[with_target]
    if len(values) == 0:
        raise InputError(f"{path.name}: the target {target!r} is missing in every row")
    task, y, class_names = code_target(values if values.dtype != object else values.astype(str), target, task)
    rest = {c: column_values(frame[c], path)[with_target] for c in columns if c != target}
    return Dataset(path.stem, task, as_table(rest, path, notes), y, target, class_names, None, tuple(notes))


def read_frame(path: Path) -> Any:
    """The file as a pandas data frame: text cells for CSV and TSV, typed ones for Parquet.

    Raises:
        InputError: the file cannot be read, or has no rows.
    """
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
        else:
            separator = "\t" if path.suffix.lower() == ".tsv" else _separator(path)
            frame = pd.read_csv(
                path,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                na_values=MISSING,
                skipinitialspace=True,
            )
    except UnicodeError as error:
        raise InputError(
            f"cannot read {path}: its text is not UTF-8; save it as UTF-8, where it is Latin-1 for example with "
            f"iconv -f latin1 -t utf-8 {path.name} > utf8.csv"
        ) from error
    except (OSError, ValueError) as error:  # pandas' parser errors and pyarrow's are ValueErrors
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(
            f"cannot read {path}: {(reason or 'it is damaged').splitlines()[0].lower()}"
        ) from error
    if len(frame) == 0:
        raise InputError(f"{path} has no rows of data")
    if path.suffix.lower() != ".parquet" and all(_is_number(str(c)) for c in frame.columns):
        raise InputError(f"{path}: the first line holds numbers; it must hold the names of the columns")
    return frame.rename(columns=lambda c: str(c).strip())


def column_values(column: Any, path: Path) -> np.ndarray:
    """A column as floats (NaN where missing), or as text objects (None where missing).

    Raises:
        InputError: a cell of a numeric column is NaN, infinite or too large to be squared.
    """
    import pandas as pd

    missing = column.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        bad = np.abs(numbers) > LARGEST
    else:
        cells = zip(column, missing, strict=True)
        text = np.array([None if absent else str(cell).strip() for cell, absent in cells], dtype=object)
        numbers = np.asarray(pd.to_numeric(text, errors="coerce"), dtype=np.float64)
        named = [cell is not None and cell.lower().lstrip("+-") in NOT_FINITE for cell in text]
        bad = np.array(named) | (np.abs(numbers) > LARGEST)
        if np.any(np.isnan(numbers) & ~missing & ~bad) or missing.all():
            return text
    if bad.any():
        row = int(np.argmax(bad))
        line = "" if path.suffix.lower() == ".parquet" else f" (line {row + 2} of the file)"
        remedy = "leave the cell empty where a value is missing, or remove the row"
        if np.isfinite(numbers[row]):
            remedy = f"too large to be squared; scale the column, to below {LARGEST:.0e}"
        raise InputError(
            f"{path.name} holds {column.iloc[row]} in row {row}{line}, column {column.name!r}: {remedy}"
        )
    return numbers


def as_table(columns: dict[str, np.ndarray], path: Path, notes: list[str]) -> Table:
    """The columns sorted into numbers and categories; adds to ``notes`` what is missing and what was left out.

    Raises:
        InputError: no column is left.
    """
    numbers: dict[str, np.ndarray] = {}
    categories: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        numeric = values.dtype != object
        missing = int(np.sum(np.isnan(values))) if numeric else sum(cell is None for cell in values)
        if missing == len(values):
            notes.append(f"Column {name!r} is empty and was left out.")
        elif numeric and name.startswith("Unnamed: ") and np.array_equal(values, np.arange(len(values))):
            notes.append("The first column, without a name, only numbers the rows and was left out.")
        elif not numeric and len(set(values)) > max(20, len(values) // 2):
            notes.append(f"Column {name!r} has {len(set(values))} different texts in {len(values)} rows, looks like an "
                         "identifier and was left out.")  # fmt: skip
        else:
            (numbers if numeric else categories)[name] = values
            if missing:
                filled = "median" if numeric else "most frequent text"
                absent = f"{missing} missing value{'s' if missing > 1 else ''}"
                notes.append(f"Column {name!r} has {absent}, filled with the training rows' {filled}.")
    if not numbers and not categories:
        raise InputError(f"{path.name} has no column to predict from")
    rows = len(next(iter(columns.values())))
    return Table(
        np.column_stack(list(numbers.values())) if numbers else np.empty((rows, 0)),
        tuple(numbers),
        np.column_stack(list(categories.values())) if categories else np.empty((rows, 0), dtype=object),
        tuple(categories),
    )


def _separator(path: Path) -> str:
    with open(path, encoding="utf-8-sig") as file:
        header = file.readline()
    return max(",;\t", key=header.count)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listing(columns: list[str]) -> str:
    shown = ", ".join(columns[:30])
    return shown + (f", … ({len(columns)} in all)" if len(columns) > 30 else "")
