"""What the groups of arguments share: help for a field, mappings, and refusals."""

import json
from argparse import ArgumentTypeError
from typing import Any

from videollm.errors import RecipeError

__all__ = ["Share", "described", "mapping", "require"]


class Share(float):
    """A share of something, 0 to 1, that may be written as a percentage: 0.01 or 1%."""

    def __new__(cls, given: str | float) -> "Share":
        """Return the share that a text or a number spells.

        Raises:
            ArgumentTypeError: It is neither; argparse names the argument.
        """
        try:
            percent = isinstance(given, str) and given.strip().endswith("%")
            value = float(given.strip()[:-1]) / 100 if percent else float(given)  # type: ignore[union-attr]
        except (TypeError, ValueError):
            raise ArgumentTypeError(
                f"{given!r} given, a share such as 0.01 or 1% allowed"
            ) from None
        return super().__new__(cls, value)


def described(text: str) -> dict[str, Any]:
    """Return the metadata of a field that the command line explains with `text`."""
    return {"help": text}


def mapping(name: str, value: dict[str, Any] | str | None) -> dict[str, Any]:
    """Return a mapping given in a recipe, or as JSON on the command line.

    Raises:
        RecipeError: It is neither; the message begins with `name`.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise RecipeError(
                f'{name}: {value!r} is not JSON ({error}); write it as {{"key": value}}'
            ) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RecipeError(f"{name}: a mapping is expected, {value!r} was given")
    return value


def require(condition: bool, message: str) -> None:
    """Refuse arguments.

    Raises:
        RecipeError: With `message`, unless `condition` holds.
    """
    if not condition:
        raise RecipeError(message)
