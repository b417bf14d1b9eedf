"""How questions about looks and places are worded: sentences with slots, as data.

Training wordings are used by every split but `test_paraphrase`, which uses the paraphrases alone;
no paraphrase is ever trained. Slots: {a} indefinite thing, {things} plural, {the} and {other} one
object each, {when} a moment or, of looks and places, nothing. What happens over time is in
`wordings_time`; existence, counts and shapes are asked as in the toy world.
"""

from videollm.shapeworld.wordings_time import TIME_WORDINGS
from videollm.toyworld.wordings import WORDINGS as TOY_WORDINGS
from videollm.toyworld.wordings import Wordings

__all__ = ["ALIASES", "WORDINGS"]

_LOOKS: dict[str, Wordings] = {
    "colour": Wordings(
        training=(
            "What colour is {the}{when}?",
            "What color is {the}{when}?",
            "Which colour is {the}{when}?",
            "Which color does {the} have{when}?",
            "What is the colour of {the}{when}?",
            "What is the color of {the}{when}?",
            "Tell me the colour of {the}{when}.",
            "Name the color of {the}{when}.",
            "{the} has which colour{when}?",
            "What colour does {the} have{when}?",
            "In the video, what color is {the}{when}?",
            "What colour can you see on {the}{when}?",
        ),
        paraphrase=(
            "How would you describe the colour of {the}{when}?",
            "Identify the color that {the} is painted in{when}.",
            "Looking at {the}, which colour do you notice{when}?",
            "{the} is drawn in what color{when}?",
        ),
    ),
    "size": TOY_WORDINGS["size"],
    "fill": Wordings(
        training=(
            "Is {the} filled or an outline?",
            "Is {the} an outline or filled?",
            "Is {the} filled, or only an outline?",
            "Tell me whether {the} is filled or an outline.",
            "Say whether {the} is an outline or filled.",
            "How is {the} drawn, filled or as an outline?",
            "Which is it: is {the} filled, or is it an outline?",
            "In the video, is {the} filled or an outline?",
            "Does {the} look filled, or like an outline?",
            "Is {the} shown as an outline or filled?",
        ),
        paraphrase=(
            "Would you say that {the} is filled in, or merely an outline?",
            "Look at the inside of {the}: filled or just an outline?",
            "Has {the} been filled with paint, or is there an outline alone?",
        ),
    ),
    "position": Wordings(
        training=(
            "Where is {the}{when}?",
            "In which corner is {the}{when}?",
            "In which quarter of the picture is {the}{when}?",
            "Where in the picture is {the}{when}?",
            "Where can {the} be seen{when}?",
            "Tell me where {the} is{when}.",
            "Say where {the} is{when}.",
            "In the video, where is {the}{when}?",
            "Which corner is {the} in{when}?",
            "What is the place of {the}{when}?",
        ),
        paraphrase=(
            "Whereabouts in the frame is {the}{when}?",
            "Give the quadrant that holds {the}{when}.",
            "If you look for {the}, where do you find it{when}?",
        ),
    ),
    "relation": Wordings(
        training=(
            "Where is {the}, seen from {other}?",
            "On which side of {other} is {the}?",
            "Is {the} left, right, above or below, seen from {other}?",
            "Where is {the} compared with {other}?",
            "Seen from {other}, where is {the}?",
            "Compared with {other}, where is {the}?",
            "Tell me on which side of {other} {the} is.",
            "Say where {the} is, seen from {other}.",
            "Relative to {other}, where is {the}?",
        ),
        paraphrase=(
            "How does {the} lie relative to {other}?",
            "Starting at {other}, which way would you go to reach {the}?",
            "In what relation to {other} does {the} stand?",
        ),
    ),
}

_ACCOUNTS: dict[str, Wordings] = {
    "caption": TOY_WORDINGS["caption"],
    "story": Wordings(
        training=(
            "Describe {the}.",
            "Tell me all about {the}.",
            "Tell me everything about {the}.",
            "Tell the story of {the}.",
            "Say all that you know about {the}.",
            "Describe {the} from beginning to end.",
            "Give a full description of {the}.",
            "What is there to say about {the}?",
            "In the video, follow {the}: say all about it.",
        ),
        paraphrase=(
            "Write a full account of {the}.",
            "Report in detail on {the}.",
            "What can you tell me about {the} as a whole?",
        ),
    ),
    "view": Wordings(
        training=(
            "What can be seen {when}?",
            "What is in the picture {when}?",
            "Describe the picture {when}.",
            "Which objects are there {when}, and where?",
            "What does the video show {when}?",
            "Tell me what can be seen {when}.",
            "Say what is where {when}.",
            "List what is in the picture {when}.",
            "What is where {when}?",
        ),
        paraphrase=(
            "If you pause {when}, what do you see?",
            "Give an account of the frame {when}.",
            "{when}, what is on the screen?",
        ),
    ),
}

WORDINGS: dict[str, Wordings] = {
    "existence": TOY_WORDINGS["existence"],
    "count": TOY_WORDINGS["count"],
    "shape": TOY_WORDINGS["shape"],
    **_ACCOUNTS,
    **_LOOKS,
    **TIME_WORDINGS,
}
"""Group to its sentences; a wording's number counts training sentences first, then paraphrases."""

ALIASES: dict[str, tuple[str, ...]] = {
    "purple": ("violet",),
    "cyan": ("turquoise", "light blue", "aqua"),
    "circle": ("disc", "disk", "dot", "ring"),
    "square": ("box",),
    "cross": ("plus", "plus sign"),
    "diamond": ("rhombus",),
    "moon": ("crescent", "half moon", "crescent moon"),
    "small": ("little", "it is small"),
    "large": ("big", "it is large"),
    "filled": ("solid", "filled in", "it is filled"),
    "outline": ("outlined", "hollow", "an outline", "only an outline", "it is an outline"),
    "stays still": ("still", "it stays still", "does not move", "it does not move", "nothing"),
    "moves": ("it moves", "moving"),
    "bounces": ("it bounces", "bouncing"),
    "collides": ("it collides", "colliding", "it collides with another shape"),
    "rotates": ("it rotates", "rotating", "turns", "it turns", "spins", "it spins"),
    "enters": ("it enters", "it enters the picture", "comes in", "it comes in"),
    "leaves": ("it leaves", "it leaves the picture", "goes out", "it goes out"),
    "left": ("to the left", "on the left", "from the left", "the left side", "left side"),
    "right": ("to the right", "on the right", "from the right", "the right side", "right side"),
    "top": ("at the top", "from the top", "the top side", "top side"),
    "bottom": ("at the bottom", "from the bottom", "the bottom side", "bottom side"),
    "up": ("upwards", "it moves up"),
    "down": ("downwards", "it moves down"),
    "up left": ("up and left", "up and to the left", "left up", "left and up"),
    "up right": ("up and right", "up and to the right", "right up", "right and up"),
    "down left": ("down and left", "down and to the left", "left down", "left and down"),
    "down right": ("down and right", "down and to the right", "right down", "right and down"),
    "top left": ("at the top left", "in the top left", "upper left", "top left corner"),
    "top right": ("at the top right", "in the top right", "upper right", "top right corner"),
    "bottom left": ("at the bottom left", "in the bottom left", "lower left", "bottom left corner"),
    "bottom right": ("at the bottom right", "in the bottom right", "lower right")
    + ("bottom right corner",),
    "above": ("it is above", "over it"),
    "below": ("it is below", "under it"),
    "slow": ("slowly", "it moves slowly"),
    "fast": ("it moves fast", "quickly", "quick"),
    "not at all": ("it does not move", "does not move", "still", "it stays still"),
    "grows": ("it grows", "growing", "it gets larger"),
    "shrinks": ("it shrinks", "shrinking", "it gets smaller"),
    "changes colour": ("it changes colour", "it changes its colour", "its colour changes"),
    "stays the same": ("it stays the same", "it does not change", "does not change", "not at all"),
    "first": ("in the first", "the first scene", "in the first scene", "scene 1"),
    "second": ("in the second", "the second scene", "in the second scene", "scene 2"),
    "third": ("in the third", "the third scene", "in the third scene", "scene 3"),
}
"""Answer to other ways of saying it that score as right."""
