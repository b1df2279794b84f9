"""Whether there is room for a result, before the work starts."""

import os
import pathlib
import shutil

from ntkit.errors import InputError


def check_memory(needed: int) -> None:
    """Raise `InputError` unless the machine has so many bytes of memory free; nothing where the system does not say."""
    free = available_memory()
    if free is not None and needed > free:
        raise InputError(
            f"the result takes {gibibytes(needed)}, and {gibibytes(free)} of memory are free; give out=FOLDER to keep it "
            "on disk, or ask for one of the kernels alone"
        )


def check_disk(folder: pathlib.Path, needed: int) -> None:
    """Raise `InputError` unless the disk of a folder, which need not exist, has so many bytes free."""
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"the result takes {gibibytes(needed)}, and {gibibytes(free)} are free on the disk of {folder}; choose "
            "another place, float32, or one of the kernels alone"
        )


def available_memory() -> int | None:
    """Bytes that can be taken without swapping, as Linux estimates them; elsewhere the free pages, or None."""
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def gibibytes(count: int) -> str:
    """A number of bytes as a reader takes it in."""
    return f"{count / 2**30:.3g} GiB"
