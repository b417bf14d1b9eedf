"""A folder that is written whole or not at all.

It is filled under another name beside the final one and renamed when it is complete, so an
interrupted run leaves nothing that looks finished.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from videollm.errors import DataError

__all__ = ["replacing", "require_free"]


def require_free(folder: Path, *, overwrite: bool = False) -> None:
    """Complain about a folder that may not be written.

    Args:
        folder: Where something is to be written; it need not be there yet.
        overwrite: Whether it may hold something, which `replacing` then removes.

    Raises:
        DataError: It is a file, or it holds something and `overwrite` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file: name a folder to write to")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise DataError(f"{folder} is not empty: choose another folder, or empty this one")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` on success and goes on failure.

    Args:
        folder: The final name; folders above it are made.

    Raises:
        DataError: The folder cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise DataError(
            f"{folder} cannot be made ({error.strerror}): choose a folder that you may write to"
        ) from error
    draft, old = workplace / "new", workplace / "old"
    try:
        draft.mkdir()
        yield draft
        if folder.exists():
            folder.rename(old)
        try:
            draft.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(workplace)
