"""The output folder of a run: its settings, its predictions, its results.

`settings.json` is written first and says whose folder it is; `predictions.jsonl` grows;
`results.json` appears when everything is answered, whole or not at all. A folder is only ever
continued by a run with the same settings on the same model.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any

from videollm.errors import DataError, RequestError
from videollm.eval.shards import Shard

__all__ = ["FORMAT_VERSION", "RunFolder"]

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1

_PARTIAL = ".partial"
_NEEDED = ("settings", "conditions", "tasks", "environment")


class RunFolder:
    """Read and write the files of one run.

    Args:
        path: The folder; it need not exist before `claim`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def predictions_path(self) -> Path:
        """Return where the predictions are."""
        return self.path / "predictions.jsonl"

    def shard_path(self, shard: Shard) -> Path:
        """Return where the predictions of one part of the run are."""
        return self.path / f"predictions{shard.suffix}.jsonl"

    def timings_path(self, shard: Shard) -> Path:
        """Return where it stands what each answer took."""
        return self.path / f"timings{shard.suffix}.jsonl"

    @property
    def judgements_path(self) -> Path:
        """Return where a judge's replies are."""
        return self.path / "judgements.jsonl"

    @property
    def report_path(self) -> Path:
        """Return where the report for people is, or will be."""
        return self.path / "report.html"

    @property
    def settings_path(self) -> Path:
        """Return where the settings are."""
        return self.path / "settings.json"

    @property
    def results_path(self) -> Path:
        """Return where the results are, or will be."""
        return self.path / "results.json"

    def check(self) -> None:
        """Refuse a path that cannot be a run's folder; write nothing.

        Raises:
            RequestError: The path is a file, or a folder that holds something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RequestError(f"--output {self.path} is a file; give a folder")
        if self.path.is_dir() and not self.settings_path.is_file() and self._holds_files():
            raise RequestError(
                f"--output {self.path} holds files that no evaluation wrote; "
                "give a new or an empty folder"
            )

    def _holds_files(self) -> bool:
        return any(not entry.name.endswith(_PARTIAL) for entry in self.path.iterdir())

    def claim(self, settings: dict[str, Any], environment: dict[str, Any]) -> bool:
        """Make the folder this run's own, or refuse it.

        Args:
            settings: JSON values that decide every prediction.
            environment: JSON values recorded beside them when the folder is made; where they
                changed since, there is a warning.

        Returns:
            Whether the folder already was this run's.

        Raises:
            RequestError: The folder belongs to other settings, is no run's folder, or cannot be
                written.
        """
        self.check()
        if self.settings_path.is_file():
            recorded = self.read_settings()
            changes = _differences(recorded.pop("environment"), environment)
            differences = _differences(recorded, settings)
            if differences:
                raise RequestError(
                    f"--output {self.path} belongs to other settings ({'; '.join(differences)}); "
                    "give another folder, or delete this one"
                )
            if changes:
                logger.warning(
                    "%s was begun in another environment (%s)", self.path, "; ".join(changes)
                )
            return True
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _write_json(
                self.settings_path,
                {"format_version": FORMAT_VERSION, **settings, "environment": environment},
            )
        except OSError as error:
            raise RequestError(
                f"--output {self.path} cannot be written ({error.strerror}); give another folder"
            ) from error
        return False

    def read_settings(self) -> dict[str, Any]:
        """Return the recorded settings.

        Raises:
            RequestError: There are none.
            DataError: They cannot be read.
        """
        if not self.settings_path.is_file():
            raise RequestError(
                f"{self.path} holds no {self.settings_path.name}; "
                "give the --output folder of an earlier evaluation"
            )
        settings = _read_json(self.settings_path)
        version = settings.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise DataError(
                f"{self.settings_path}: format_version is {version}, this program reads "
                f"{FORMAT_VERSION}; evaluate again into another folder"
            )
        missing = [name for name in _NEEDED if name not in settings]
        if missing:
            raise DataError(
                f"{self.settings_path}: lacks {', '.join(missing)}; evaluate again into another "
                "folder"
            )
        return settings

    def read_results(self) -> dict[str, Any] | None:
        """Return the results, or None before the run is complete.

        Raises:
            DataError: They cannot be read.
        """
        return _read_json(self.results_path) if self.results_path.is_file() else None

    def write_results(self, results: dict[str, Any]) -> None:
        """Write the results, whole or not at all.

        Args:
            results: JSON values.
        """
        _write_json(self.results_path, {"format_version": FORMAT_VERSION, **results})


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); delete the folder and run again") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} does not hold an object; delete the folder and run again")
    return values


def _write_json(path: Path, values: dict[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}{_PARTIAL}")
    partial.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def _differences(recorded: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return a phrase per value that differs, naming it by its path."""
    phrases = []
    for name in sorted({*recorded, *wanted}):
        there, here = recorded.get(name), wanted.get(name)
        if isinstance(there, dict) and isinstance(here, dict):
            phrases += _differences(there, here)
        elif there != here:
            phrases.append(f"{name}: {_short(there)} there, {_short(here)} now")
    return phrases


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 24 else text[:20] + "..."
