"""What the groups of arguments share: help for a field, mappings, and refusals."""

import json
from typing import Any

from videollm.errors import RecipeError

__all__ = ["described", "mapping", "require"]


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
