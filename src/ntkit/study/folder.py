"""The folder of a study: written beside its place and then renamed, so that it is whole or not there."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ntkit.errors import InputError

PAGE, NUMBERS, KERNELS, RUN = "report.html", "results.json", "kernel.npz", "run.npz"


def check_place(folder: Path, overwrite: bool) -> None:
    """Refuse a place where a study must not or cannot be written; tries it, and leaves nothing behind.

    Args:
        folder: Where it shall stand.
        overwrite: Whether an earlier study there may be replaced. Anything else never is.

    Raises:
        InputError: There is a file or a non-empty folder, or the folder above cannot be written.
    """
    with _writing(folder):
        _check_content(folder, overwrite)
        above = folder.absolute().parent
        while not above.exists():
            above = above.parent
        _try_to_write(above)


def _check_content(folder: Path, overwrite: bool) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"--out {folder} is a file or a link: name a folder that does not exist yet")
    found = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    if found and not overwrite:
        raise InputError(
            f"--out {folder} exists and is not empty: choose another folder, or pass --overwrite"
        )
    foreign = sorted(set(found) - {PAGE, NUMBERS, KERNELS, RUN})
    if foreign:
        raise InputError(
            f"--out {folder} holds files that no study wrote, such as {foreign[0]}: choose another folder"
        )


def write(folder: Path, page: str, found: Any, overwrite: bool) -> None:
    """Write the files of a study.

    Args:
        folder: Where they shall stand.
        page: The report as HTML.
        found: The `Study`; NaN and infinity are not allowed among its results.
        overwrite: Whether an earlier study there may be replaced.

    Raises:
        InputError: As `check_place`, or the disk is full.
    """
    check_place(folder, overwrite)
    with _writing(folder):
        _write(folder, page, found)


def _write(folder: Path, page: str, found: Any) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        new = work / "new"
        new.mkdir()
        (new / PAGE).write_text(page, encoding="utf-8")
        (new / NUMBERS).write_text(
            json.dumps(found.results, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
        _save(new / KERNELS, found.arrays)
        if found.training is not None:
            found.training.save(new / RUN)
        if folder.is_dir():
            folder.rename(work / "old")
        new.rename(folder)
    finally:
        if (work / "old").exists() and not folder.exists():
            (work / "old").rename(folder)
        shutil.rmtree(work, ignore_errors=True)


def check_npz_place(path: Path) -> None:
    """Refuse a place where an ``.npz`` file cannot be written; tries it, and leaves nothing behind.

    Raises:
        InputError: The folder of ``path`` does not exist or cannot be written.
    """
    with _writing(path):
        if not path.absolute().parent.is_dir():
            raise InputError(f"--out {path}: the folder {path.parent} does not exist")
        _try_to_write(path.absolute().parent)


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an ``.npz`` file beside its place, then rename it.

    Raises:
        InputError: As `check_npz_place`, or the disk is full.
    """
    check_npz_place(path)
    with _writing(path), tempfile.TemporaryDirectory(prefix=".ntkit-", dir=path.absolute().parent) as work:
        new = Path(work, "new.npz")
        _save(new, arrays)
        new.replace(path)


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Turn what the system says while ``place`` is looked at or written into one message."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"--out {place} cannot be written: {(error.strerror or 'unwritable').lower()}; name another place"
        ) from error


def _try_to_write(above: Path) -> None:
    """Write a little file in a new folder below ``above``, and remove both."""
    with tempfile.TemporaryDirectory(prefix=".ntkit-", dir=above) as work:
        Path(work, "trial").write_bytes(bytes(4096))


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    np.savez(path, **arrays)
