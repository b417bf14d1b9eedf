"""How questions are worded: sentences with slots, per family, as data.

Training wordings are used by every split but `test_paraphrase`, which uses the paraphrases alone;
no paraphrase is ever trained. Slots: {a} indefinite thing, {things} plural, {the} one object,
{sides} and {ends} two halves of the frame, {when} start or end, {event} what happened first or
last, {do} and {does} appear or disappear.
"""

from typing import NamedTuple

__all__ = ["ALIASES", "WORDINGS", "Wordings"]


class Wordings(NamedTuple):
    """Hold the sentences of one family."""

    training: tuple[str, ...]
    paraphrase: tuple[str, ...]


WORDINGS: dict[str, Wordings] = {
    "existence": Wordings(
        training=(
            "Is there {a}?",
            "Is there {a} in the video?",
            "Do you see {a}?",
            "Can you see {a} in this video?",
            "Does the video show {a}?",
            "Does {a} appear in the video?",
            "Is {a} shown?",
            "Does this clip contain {a}?",
            "Is {a} visible at some time?",
            "Yes or no: is there {a}?",
            "Can {a} be seen?",
            "Tell me whether there is {a}.",
        ),
        paraphrase=(
            "Does the footage include {a}?",
            "Would a viewer notice {a} here?",
            "Is {a} among the things on screen?",
            "Check if {a} turns up anywhere.",
        ),
    ),
    "count": Wordings(
        training=(
            "How many {things} are there?",
            "How many {things} are there in the video?",
            "How many {things} do you see?",
            "How many {things} can be seen in all?",
            "What is the number of {things}?",
            "Count the {things}.",
            "How many {things} does the video show?",
            "How many {things} appear in the clip?",
            "Give the number of {things}.",
            "Tell me how many {things} there are.",
            "How many different {things} are shown?",
            "In the whole video, how many {things} are there?",
        ),
        paraphrase=(
            "What is the total count of {things} on screen?",
            "If you add up all {things}, what do you get?",
            "State the quantity of {things}.",
            "Just how numerous are the {things}?",
        ),
    ),
    "colour": Wordings(
        training=(
            "What colour is {the}?",
            "What color is {the}?",
            "Which colour is {the}?",
            "Which color does {the} have?",
            "What is the colour of {the}?",
            "What is the color of {the}?",
            "Tell me the colour of {the}.",
            "Name the color of {the}.",
            "{the} has which colour?",
            "What colour does {the} have?",
            "In the video, what color is {the}?",
            "What colour can you see on {the}?",
        ),
        paraphrase=(
            "How would you describe the colour of {the}?",
            "Identify the color that {the} is painted in.",
            "Looking at {the}, which hue is it?",
            "{the} is drawn in what color?",
        ),
    ),
    "shape": Wordings(
        training=(
            "What shape is {the}?",
            "Which shape is {the}?",
            "What is the shape of {the}?",
            "What shape does {the} have?",
            "Which shape does {the} have?",
            "What kind of shape is {the}?",
            "Tell me the shape of {the}.",
            "Name the shape of {the}.",
            "What is {the}?",
            "In the video, what shape is {the}?",
            "{the} has which shape?",
            "Say what shape {the} is.",
        ),
        paraphrase=(
            "How would you describe the outline of {the}?",
            "What geometric figure is {the}?",
            "Identify the form of {the}.",
            "Looking at {the}, which figure do you recognise?",
        ),
    ),
    "size": Wordings(
        training=(
            "How big is {the}?",
            "What size is {the}?",
            "Is {the} small or large?",
            "Is {the} large or small?",
            "What is the size of {the}?",
            "How large is {the}?",
            "Which size does {the} have?",
            "Tell me the size of {the}.",
            "Say whether {the} is small or large.",
            "In the video, is {the} large or small?",
            "Which is it: is {the} large, or is it small?",
            "What size does {the} have, small or large?",
        ),
        paraphrase=(
            "Would you call {the} small or large?",
            "Judge the size of {the}: large or small?",
            "How much room does {the} take up, small or large?",
            "Describe how big {the} looks.",
        ),
    ),
    "position": Wordings(
        training=(
            "Is {the} {sides} {when}?",
            "{when}, is {the} {sides}?",
            "Where is {the} {when}, {sides}?",
            "Where is {the} {when}: {ends}?",
            "In which half is {the} {when}, {ends}?",
            "{when}, where is {the}, {ends}?",
            "Which half of the picture is {the} in {when}, {ends}?",
            "Is {the} {sides} of the frame {when}?",
            "Tell me where {the} is {when}: {sides}.",
            "Say which side {the} is on {when}, {ends}.",
            "Is {the} seen {sides} {when}?",
            "On which side is {the} {when}, {ends}?",
        ),
        paraphrase=(
            "{when}, would you look for {the} {sides}?",
            "Give the half that holds {the} {when}: {ends}.",
            "Does {the} sit {sides} {when}?",
            "{ends}: which describes the place of {the} {when}?",
        ),
    ),
    "motion": Wordings(
        training=(
            "How does {the} move?",
            "How is {the} moving?",
            "In which way does {the} move?",
            "What does {the} do?",
            "What motion does {the} make?",
            "Which way does {the} move?",
            "What is the motion of {the}?",
            "Describe how {the} moves.",
            "Tell me how {the} moves.",
            "What kind of motion does {the} show?",
            "In the video, how does {the} move?",
            "Say how {the} moves.",
        ),
        paraphrase=(
            "Which movement do you observe for {the}?",
            "How would you describe the path of {the}?",
            "As time passes, what happens to the place of {the}?",
            "Where is {the} heading, if anywhere?",
        ),
    ),
    "order": Wordings(
        training=(
            "Which shape {event}?",
            "Which object {event}?",
            "What {event}?",
            "Which shape in the video {event}?",
            "Name the shape that {event}.",
            "Tell me which shape {event}.",
            "Say which object {event}.",
            "Of all the shapes, which one {event}?",
            "Which one of the shapes {event}?",
            "Which is the object that {event}?",
            "Which of them {event}?",
            "In the video, which shape {event}?",
        ),
        paraphrase=(
            "Looking at the order of events, what {event}?",
            "Identify the figure that {event}.",
            "Compared with the others, which thing {event}?",
            "Pick out the item that {event}.",
        ),
    ),
    "time": Wordings(
        training=(
            "When does {the} {do}?",
            "At what time does {the} {do}?",
            "At which second does {the} {do}?",
            "When exactly does {the} {do}?",
            "At what moment does {the} {do}?",
            "Tell me when {the} {does}.",
            "Say when {the} {does}.",
            "What is the time when {the} {does}?",
            "In the video, when does {the} {do}?",
            "{the} {does} at what time?",
            "Give the time at which {the} {does}.",
            "After how many seconds does {the} {do}?",
        ),
        paraphrase=(
            "How far into the clip does {the} {do}?",
            "Find the second in which {the} {does}.",
            "How much time passes before {the} {does}?",
            "What does the clock say when {the} {does}?",
        ),
    ),
    "caption": Wordings(
        training=(
            "Describe the video.",
            "Describe this video.",
            "What happens in the video?",
            "What can be seen in the video?",
            "Tell me what happens in this clip.",
            "What does the video show?",
            "Give a description of the video.",
            "Write a caption for this video.",
            "Say what you see in the video.",
            "Describe what happens.",
        ),
        paraphrase=(
            "Summarise the footage.",
            "Put into words what goes on here.",
            "Explain to somebody who cannot see it what this clip contains.",
        ),
    ),
}
"""Family to its sentences; a wording's number counts training sentences first, then paraphrases."""

ALIASES: dict[str, tuple[str, ...]] = {
    "purple": ("violet",),
    "cyan": ("turquoise", "light blue", "aqua"),
    "circle": ("disc", "disk", "dot", "ball"),
    "square": ("box",),
    "cross": ("plus", "plus sign"),
    "diamond": ("rhombus",),
    "small": ("little", "it is small"),
    "large": ("big", "it is large"),
    "still": ("stays still", "it stays still", "does not move", "it does not move", "not moving"),
    "left": ("moves left", "it moves left", "to the left", "on the left", "leftwards"),
    "right": ("moves right", "it moves right", "to the right", "on the right", "rightwards"),
    "up": ("moves up", "it moves up", "upwards"),
    "down": ("moves down", "it moves down", "downwards"),
    "bounces": ("it bounces", "bouncing", "back and forth", "moves back and forth"),
    "loops": ("it loops", "looping", "moves in a loop", "it moves in a loop", "in a loop")
    + ("circles", "in circles", "moves in circles", "moves in a circle", "in a circle"),
    "top": ("at the top",),
    "bottom": ("at the bottom",),
}
"""Answer to other ways of saying it that score as right."""
