"""Lists of videos for pretraining and classification, whatever their layout.

`read_entries` takes video files, folders, lists and shards and returns entries with the numbers of
their classes. Videos are not opened and may be missing: the data set that loads them reports that.

Layouts; "auto" recognises each by its content and asks where two fit. A text is a plain list where
no published layout fits, and without labels every folder is just searched:
    list       text, path or path,label a line: see `train/text_lists.py`
    folders    one sub-folder for each class
    shards     WebDataset tar files: see `train/video_shards.py`
    kinetics, ssv2, ucf101, breakfast, coin: see `train/published_lists.py`
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from videollm.errors import DataError
from videollm.train.published_lists import (
    PUBLISHED,
    PUBLISHED_WITH_SUBSETS,
    UCF101_CLASSES,
    published_layouts,
)
from videollm.train.text_lists import read_list
from videollm.train.video_entries import (
    Listing,
    MediaFolder,
    VideoEntry,
    find_videos,
    number_labels,
    parse_label,
    read_class_names,
)
from videollm.train.video_shards import VIDEO_SUFFIXES, index_shards

__all__ = ["LAYOUTS", "VideoEntry", "VideoList", "missing", "read_entries"]

LAYOUTS = ("auto", "list", "folders", "shards", *PUBLISHED, *PUBLISHED_WITH_SUBSETS)

_LIST_SUFFIXES = (".csv", ".tsv", ".txt")
_SHARD_SUFFIXES = (".tar", ".tgz", ".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst")
_SPLIT_NAMES = frozenset(("test", "testing", "train", "training", "val", "valid", "validation"))


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoList:
    """Hold the videos of a data set.

    Args:
        entries: In the order of the lists.
        classes: Class names by number; empty for pretraining.
    """

    entries: tuple[VideoEntry, ...]
    classes: tuple[str, ...]


def read_entries(
    paths: Sequence[Path],
    *,
    media_folder: Path | None,
    layout: str = "auto",
    classes: Path | Sequence[str] | None = None,
    labelled: bool,
    subset: str | None = None,
) -> VideoList:
    """Return the videos behind files, folders, lists and shards.

    Class names are those given, else the layout's own, else the names found, sorted; numbers
    without names become "0", "1", and so on. A list for validation is read with the `classes` of
    the one for training.

    Args:
        paths: Video files, folders, lists, shards, or patterns of shards.
        media_folder: Where relative paths of lists start; None: beside the list.
        layout: One of `LAYOUTS`; lone video files are taken in all of them.
        classes: A label map (see `read_class_names`), or class names in order.
        labelled: Whether every video needs a label; False leaves all labels out.
        subset: Which part of a Kinetics, Breakfast or COIN list; None: all.

    Raises:
        DataError: A path does not exist, has no video or is not of its layout; two layouts fit;
            a label is missing, unknown, out of range or contradicted; there is only one class; or
            an argument makes no sense.
    """
    if layout not in LAYOUTS:
        raise DataError(f"layout is {layout!r}; give one of {', '.join(LAYOUTS)}")
    if media_folder is not None and not media_folder.is_dir():
        raise DataError(f"media_folder: {media_folder}: no such folder; check the path")
    if not paths:
        raise DataError("data_path is empty; give video files, folders, lists or shards")
    layouts = [_layout_of(path, layout, labelled=labelled) for path in paths]
    if subset is not None and not set(layouts) <= PUBLISHED_WITH_SUBSETS.keys():
        raise DataError(
            f"subset is {subset!r}; only {', '.join(PUBLISHED_WITH_SUBSETS)} have subsets, and "
            f"this is {', '.join(sorted(set(layouts)))}: leave subset out and give that part's "
            "list, or say the layout"
        )
    shards = [path for path, found in zip(paths, layouts, strict=True) if found == "shards"]
    listings = [
        _read(path, found, MediaFolder(media_folder or path.parent), subset, labelled=labelled)
        for path, found in zip(paths, layouts, strict=True)
        if found != "shards"
    ]
    if shards:
        listings.append(_read_shards(shards, labelled=labelled))
    videos = [video for listing in listings for video in listing.videos]
    if not labelled:
        return VideoList(entries=tuple(entry for entry, _ in videos), classes=())
    entries, names = number_labels(videos, _choose_classes(classes, listings))
    return VideoList(entries=entries, classes=names)


def missing(entries: Sequence[VideoEntry]) -> list[VideoEntry]:
    """Return the entries whose file or shard does not exist."""
    sources = ((entry, entry.source) for entry in entries)
    return [
        entry
        for entry, source in sources
        if not (source if isinstance(source, Path) else source.shard).exists()
    ]


def _layout_of(path: Path, layout: str, *, labelled: bool) -> str:
    """Return the layout of one path: that given, "file" for a lone video, or the one that fits."""
    is_shard = path.name.lower().endswith(_SHARD_SUFFIXES)
    if layout == "shards" or (layout == "auto" and is_shard):
        return "shards"
    if not path.exists():
        raise DataError(f"data_path: {path}: no such file or folder")
    suffix = path.suffix.lower()
    if path.is_file() and suffix in VIDEO_SUFFIXES:
        return "file"
    if layout != "auto":
        needs_folder = layout in ("folders", "breakfast")
        if path.is_dir() != needs_folder:
            given, needed = ("folder", "file") if path.is_dir() else ("file", "folder")
            raise DataError(
                f"data_path: {path}: a {given}, but the layout {layout} is read from a {needed}; "
                "give that, or another layout"
            )
        return layout
    if path.is_dir():
        fits = ["folders", *published_layouts(path)] if labelled else ["folders"]
        if len(fits) > 1 and _has_loose_videos(path):
            fits.remove("folders")
    elif suffix == ".json":
        fits = published_layouts(path)
    elif suffix in _LIST_SUFFIXES:
        fits = published_layouts(path)
        if not fits or (fits == ["ucf101"] and not path.with_name(UCF101_CLASSES).is_file()):
            fits.append("list")
    else:
        return "file"
    if len(fits) == 1 or (not labelled and "list" in fits):
        return fits[-1]
    finding = f"fits the layouts {' and '.join(fits)}" if fits else "fits no layout of a list"
    choice = " or ".join(fits or LAYOUTS[1:])
    raise DataError(f"data_path: {path}: {finding}; say which: layout = {choice}")


def _has_loose_videos(folder: Path) -> bool:
    return any(path.parent == folder for path in find_videos(folder))


def _read(
    path: Path, layout: str, media: MediaFolder, subset: str | None, *, labelled: bool
) -> Listing:
    if layout == "file":
        return Listing(videos=[(VideoEntry(source=path, name=str(path)), None)])
    if layout == "list":
        return read_list(path, media.folder)
    if layout == "folders":
        return _read_folders(path, labelled=labelled)
    if layout in PUBLISHED:
        return PUBLISHED[layout](path, media)
    return PUBLISHED_WITH_SUBSETS[layout](path, media, subset=subset)


def _read_shards(patterns: Sequence[Path], *, labelled: bool) -> Listing:
    index = index_shards(patterns, labelled=labelled)
    if not index.members:
        raise DataError(f"data_path: no video in {', '.join(map(str, patterns))}")
    return Listing(
        videos=[
            (
                VideoEntry(source=member, name=str(member)),
                parse_label(label) if isinstance(label, str) else label,
            )
            for member, label in zip(index.members, index.labels, strict=True)
        ]
    )


def _read_folders(folder: Path, *, labelled: bool) -> Listing:
    """Return the videos of a folder, each with its sub-folder as the label; None without one."""
    videos: list[tuple[VideoEntry, str | None]] = []
    for path in find_videos(folder):
        inside = path.relative_to(folder).parts
        label = inside[0] if len(inside) > 1 else None
        videos.append((VideoEntry(source=path, name=str(path)), label))
    names = {label or "" for _, label in videos}
    if labelled and names <= _SPLIT_NAMES:
        raise DataError(
            f"data_path: {folder}: its folders {', '.join(sorted(names))} are parts of a data set,"
            " not classes; give one of them"
        )
    return Listing(videos=videos)


def _choose_classes(
    given: Path | Sequence[str] | None, listings: Sequence[Listing]
) -> tuple[str, ...] | None:
    if isinstance(given, Path | str):
        return read_class_names(Path(given))
    if given is not None:
        if not given:
            raise DataError("classes is empty; give class names, or None to find them")
        return tuple(given)
    own = {listing.classes for listing in listings if listing.classes is not None}
    if len(own) > 1:
        raise DataError("the lists of data_path have different label maps; give one as classes")
    return next(iter(own), None)
