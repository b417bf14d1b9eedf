"""Words that pick out one object of a scene, and phrases for kinds of objects.

An object may be named by any set of its properties that no other object of the scene shares, so
every question has exactly one referent.
"""

from collections.abc import Iterator

from videollm.toyworld.scene import Scene, SceneObject

__all__ = ["MOVES", "indefinite", "name_pair", "plural", "references"]

MOVES: dict[str, str] = {
    "still": "stays still",
    "left": "moves left",
    "right": "moves right",
    "up": "moves up",
    "down": "moves down",
    "bounces": "bounces",
    "loops": "moves in a loop",
}
"""Motion word to what an object with it does."""

_PROPERTIES: dict[str, tuple[str, ...]] = {
    "pair": ("colour", "shape"),
    "shape": ("shape",),
    "colour": ("colour",),
    "size": ("size",),
    "motion": ("motion",),
    "size and shape": ("size", "shape"),
    "size and colour": ("size", "colour"),
    "alone": (),
}
"""Way of naming an object to the properties that it mentions."""


def references(
    scene: Scene, ways: tuple[str, ...], noun: str
) -> Iterator[tuple[str, str, SceneObject]]:
    """Yield every unambiguous name of every object of a scene.

    Args:
        scene: The scene.
        ways: Which properties a name may mention: keys of "pair", "shape", "colour", "size",
            "motion", "size and shape", "size and colour", "alone" (no property at all).
        noun: Word for an object whose shape is not mentioned: "shape" or "object".

    Yields:
        The way, the name ("the red circle"), and the object that has it. A name of two
        properties is left out where one of them would do, except for pairs.
    """
    for way in ways:
        properties = _PROPERTIES[way]
        for thing in scene.objects:
            if _matches(scene, thing, properties) != 1:
                continue
            if way.startswith("size and") and _matches(scene, thing, properties[1:]) == 1:
                continue
            yield way, _name(thing, properties, noun), thing


def name_pair(thing: SceneObject) -> str:
    """Return colour and shape: "red circle"."""
    return f"{thing.colour} {thing.shape}"


def indefinite(words: str) -> str:
    """Return the words with their indefinite article: "an orange star"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def plural(word: str) -> str:
    """Return the plural of a shape word."""
    return f"{word}es" if word.endswith("s") else f"{word}s"


def _matches(scene: Scene, thing: SceneObject, properties: tuple[str, ...]) -> int:
    """Count the objects that share these properties with `thing`, itself among them."""
    return sum(
        all(getattr(other, name) == getattr(thing, name) for name in properties)
        for other in scene.objects
    )


def _name(thing: SceneObject, properties: tuple[str, ...], noun: str) -> str:
    words = ["the"]
    words += [getattr(thing, name) for name in ("size", "colour") if name in properties]
    words.append(thing.shape if "shape" in properties else noun)
    if "motion" in properties:
        words.append(f"that {MOVES[thing.motion]}")
    return " ".join(words)
