"""Recipes: find a YAML file, merge it with the command line, and write down what came out.

Precedence: field default < recipe < command line. A recipe is flat; its optional key `stage`
names the program it is for. Both sources pass through the same `HfArgumentParser`, so a value
means the same in either, and `1e-4`, a string to YAML, is a number here.
"""

import dataclasses
import difflib
import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn, cast, get_type_hints

import yaml
from transformers import HfArgumentParser

from videollm.errors import RecipeError
from videollm.train.fields import Share

__all__ = [
    "RECIPE_FILE",
    "find_recipe",
    "parse_recipe",
    "recorded_stage",
    "shipped_recipes",
    "stage_of",
    "write_recipe",
]

RECIPE_FILE = "recipe.yaml"

# A run's record must be safe to publish.
_SECRETS = frozenset({"hub_token"})


class _Parser(HfArgumentParser):
    """A parser that raises instead of printing its usage and leaving the process."""

    source = "command line"

    def error(self, message: str) -> NoReturn:
        raise RecipeError(f"{self.source}: {message}")


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package, by name."""
    folder = Path(str(files("videollm.train"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """Return the file of a recipe given as a path or as the bare name of a shipped one.

    Raises:
        RecipeError: Neither exists; the message lists the shipped recipes.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if name in shipped:
        return shipped[name]
    raise RecipeError(
        f"recipe {name}: no such file; give a YAML file or one of the shipped recipes: "
        f"{', '.join(shipped)}"
    )


def stage_of(name: str) -> str | None:
    """Return the stage that a recipe is for, or None where it does not say.

    Raises:
        RecipeError: There is no such recipe, or it is not YAML.
    """
    return _load(find_recipe(name)).get("stage")


def _load(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())
        raise RecipeError(f"{path}: not a YAML file ({detail}); write lines `key: value`") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a {type(values).__name__} was found; write lines `key: value`")
    return {str(key): value for key, value in values.items()}


def _refuse_unknown(source: str, keys: Sequence[str], known: Sequence[str]) -> None:
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise RecipeError(
                f"{source}: unknown key {key!r}; the nearest known one is {near[0]!r}"
            )


def _as_arguments(source: str, values: Mapping[str, Any], mappings: set[str]) -> list[str]:
    """Spell recipe values as a command line, so that both are checked by the same rules."""
    arguments: list[str] = []
    for key, value in values.items():
        if isinstance(value, dict):
            if key not in mappings:
                raise RecipeError(f"{source}: {key}: a single value is expected, not a mapping")
            arguments.append(f"--{key}={json.dumps(value)}")
        elif isinstance(value, list) and value:
            arguments += [f"--{key}", *(str(item) for item in value)]
        elif value is not None and value != []:
            arguments.append(f"--{key}={value}")
    return arguments


def _preset(values: Mapping[str, Any]) -> Namespace:
    """Hold what a command line cannot spell: null and the empty list."""
    return Namespace(**{key: value for key, value in values.items() if value in (None, [])})


def _check_stage(path: Path, values: dict[str, Any], stage: str) -> None:
    meant = values.pop("stage", stage)
    if meant != stage:
        raise RecipeError(f"{path}: a recipe for {meant}, not for {stage}: run videollm {meant}")


def parse_recipe(
    arguments: Sequence[str],
    *,
    stage: str,
    groups: Sequence[type[Any]],
    recipes_of: str | None = None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the filled dataclasses of a run, and the flat values that they were filled with.

    Args:
        arguments: The command line: a recipe, then `--key value` pairs.
        stage: Name of the program, as in `videollm STAGE RECIPE`.
        groups: Dataclasses to fill; their field names are disjoint.
        recipes_of: Stage whose recipes it reads; its own where None.

    Returns:
        One instance of each group, and every resolved value by name.

    Raises:
        RecipeError: No recipe, a missing one, an unknown key or a value of the wrong type.
    """
    parser = _Parser(
        cast(Any, list(groups)),  # its annotation asks for a private protocol
        prog=f"videollm {stage}",
        usage=f"videollm {stage} RECIPE [--key value ...]",
        epilog=f"example: videollm {stage} tiny_{recipes_of or stage} --output_dir runs/try",
        allow_abbrev=False,
    )
    if any(argument in ("-h", "--help") for argument in arguments):
        parser.print_help()
        raise SystemExit(0)
    if not arguments or arguments[0].startswith("-"):
        raise RecipeError(
            f"no recipe given: videollm {stage} RECIPE [--key value ...]; shipped recipes: "
            f"{', '.join(shipped_recipes())}"
        )
    types = {name: kind for group in groups for name, kind in _field_types(group).items()}
    known = list(types)
    mappings = {name for name, kind in types.items() if "dict" in str(kind)}

    path = find_recipe(arguments[0])
    values = _load(path)
    _check_stage(path, values, recipes_of or stage)
    _refuse_unknown(str(path), list(values), known)
    parser.source = str(path)
    namespace, rest = parser.parse_known_args(
        _as_arguments(str(path), values, mappings), namespace=_preset(values)
    )
    if rest:
        raise RecipeError(f"{path}: a list stands where one value is expected: {rest} is too much")
    parser.source = "command line"
    namespace, rest = parser.parse_known_args(list(arguments[1:]), namespace=namespace)
    _refuse_rest(rest, known)
    return _fill(groups, vars(namespace))


def _field_types(group: type[Any]) -> dict[str, object]:
    hints = get_type_hints(group)
    return {item.name: hints[item.name] for item in dataclasses.fields(group) if item.init}


def _refuse_rest(rest: Sequence[str], known: Sequence[str]) -> None:
    keys = [item[2:].split("=")[0].replace("-", "_") for item in rest if item.startswith("--")]
    _refuse_unknown("command line", keys, known)
    if rest:
        raise RecipeError(f"command line: {' '.join(rest)!r} belongs to no --key; remove it")


def _fill(
    groups: Sequence[type[Any]], values: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    filled = []
    for group in groups:
        names = [item.name for item in dataclasses.fields(group) if item.init]
        try:
            filled.append(group(**{name: values[name] for name in names}))
        except RecipeError:
            raise
        except (ValueError, TypeError) as error:
            raise RecipeError(" ".join(str(error).split())) from error
    return tuple(filled), values


def write_recipe(folder: Path, *, stage: str, values: Mapping[str, Any]) -> None:
    """Write every resolved value into `folder`, as a recipe that repeats the run."""
    plain = {key: value for key, value in values.items() if key not in _SECRETS}
    for key, value in plain.items():
        if isinstance(value, Enum | Share):
            plain[key] = value.value if isinstance(value, Enum) else float(value)
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"stage": stage, **plain}, sort_keys=False, allow_unicode=False)
    (folder / RECIPE_FILE).write_text(text, encoding="utf-8")


def recorded_stage(folder: Path) -> str | None:
    """Return the stage of the run that `folder` holds, or None where it holds no record of one."""
    path = folder / RECIPE_FILE
    return _load(path).get("stage") if path.is_file() else None
