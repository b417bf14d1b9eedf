"""How questions about the course of a clip are worded: sentences with slots, as data.

Slots: {the} one object, {which} a direction, a side, or first or last, {do} and {does} what
happens, {events} and {things} what is compared.
"""

from videollm.toyworld.wordings import WORDINGS as TOY_WORDINGS
from videollm.toyworld.wordings import Wordings

__all__ = ["TIME_WORDINGS"]

TIME_WORDINGS: dict[str, Wordings] = {
    "motion": Wordings(
        training=(
            "What does {the} do?",
            "What is {the} doing?",
            "Which motion does {the} show?",
            "How does {the} behave?",
            "What is the motion of {the}?",
            "Tell me what {the} does.",
            "Say what {the} is doing.",
            "In the video, what does {the} do?",
            "What can {the} be seen doing?",
            "What kind of motion does {the} make?",
        ),
        paraphrase=(
            "Which action do you observe in {the}?",
            "How would you describe what {the} is up to?",
            "As time passes, what is done by {the}?",
        ),
    ),
    "direction": Wordings(
        training=(
            "{which} does {the} {do}?",
            "In the video, {which} does {the} {do}?",
            "Tell me {which} {the} {does}.",
            "Say {which} {the} {does}.",
            "{the} {does} {which}?",
            "Look at {the}: {which} does it {do}?",
            "Can you see {which} {the} {does}?",
            "Which is it: {which} does {the} {do}?",
            "Watch {the}. {which} does it {do}?",
        ),
        paraphrase=(
            "Could you find out {which} {the} {does}?",
            "Follow {the} with your eyes and report {which} it {does}.",
            "I would like to know {which} {the} {does}.",
        ),
    ),
    "speed": Wordings(
        training=(
            "How fast does {the} move: slow, fast or not at all?",
            "Does {the} move slowly, fast or not at all?",
            "What is the speed of {the}: not at all, slow or fast?",
            "How fast is {the}: fast, slow or not at all?",
            "Is the motion of {the} fast or slow, or does it not move at all?",
            "Tell me how fast {the} moves: fast, slow or not at all.",
            "Say whether {the} moves fast, slowly or not at all.",
            "In the video, how fast does {the} move, slow, fast or not at all?",
            "At which speed does {the} move: fast, slow or not at all?",
        ),
        paraphrase=(
            "Would you call the pace of {the} slow or fast, or does it rest?",
            "Is {the} in a hurry: fast, slow or resting?",
            "Judge the pace of {the}: slow, fast or none.",
        ),
    ),
    "order": Wordings(
        training=(
            "What happens {which}: {events}?",
            "Which of these happens {which}: {events}?",
            "Which event comes {which}: {events}?",
            "What comes {which}: {events}?",
            "Tell me what happens {which}: {events}.",
            "Say which comes {which}: {events}.",
            "In the video, what happens {which}: {events}?",
            "Which of these events is {which}: {events}?",
            "{events}: which happens {which}?",
        ),
        paraphrase=(
            "Put these in order and name the {which} one: {events}.",
            "Of the following, which takes place {which}: {events}?",
            "{events}: which of them do you see {which}?",
        ),
    ),
    "seen_first": Wordings(
        training=(
            "Which is seen first: {things}?",
            "What is seen first, {things}?",
            "Which of the two comes first: {things}?",
            "Which is shown first: {things}?",
            "Which is on screen earlier: {things}?",
            "Tell me which is seen first: {things}.",
            "Say which comes first, {things}.",
            "In the video, which comes first: {things}?",
            "{things}: which is seen first?",
        ),
        paraphrase=(
            "Which do you meet sooner: {things}?",
            "Name the one that is there before the other: {things}.",
            "{things}: which of these two has the earlier scene?",
        ),
    ),
    "neighbour": Wordings(
        training=(
            "Which shape comes right {where} {the}?",
            "What comes right {where} {the}?",
            "Which shape appears right {where} {the}?",
            "What is seen right {where} {the}?",
            "Name the shape that comes right {where} {the}.",
            "Tell me what appears right {where} {the}.",
            "Say which shape is seen right {where} {the}.",
            "In the video, what comes right {where} {the}?",
            "Right {where} {the}, which shape appears?",
        ),
        paraphrase=(
            "What is on screen immediately {where} {the}?",
            "Of all shapes, which one is there directly {where} {the}?",
            "Find what turns up immediately {where} {the}.",
        ),
    ),
    "change": Wordings(
        training=(
            "How does {the} change?",
            "In which way does {the} change?",
            "What change does {the} go through?",
            "What changes about {the}?",
            "Does {the} grow, shrink, change colour or stay the same?",
            "Tell me how {the} changes.",
            "Say in which way {the} changes.",
            "In the video, how does {the} change?",
            "Which change can be seen in {the}?",
        ),
        paraphrase=(
            "Is {the} altered in any way, and how?",
            "Compare {the} before and after: what is different?",
            "How does the look of {the} develop?",
        ),
    ),
    "turn": Wordings(
        training=(
            "What colour does {the} turn?",
            "What color does {the} turn?",
            "Which colour does {the} turn to?",
            "Which color does {the} become?",
            "What colour does {the} change to?",
            "Tell me what colour {the} turns.",
            "Say which color {the} turns to.",
            "In the video, what colour does {the} turn?",
            "To what colour does {the} change?",
        ),
        paraphrase=(
            "What colour does {the} end up with?",
            "Name the new color that {the} takes on.",
            "After its change, {the} has which colour?",
        ),
    ),
    "time": TOY_WORDINGS["time"],
    "scene_count": Wordings(
        training=(
            "How many scenes are there?",
            "How many scenes does the video have?",
            "How many scenes are there in the video?",
            "Count the scenes.",
            "What is the number of scenes?",
            "Tell me how many scenes there are.",
            "Give the number of scenes.",
            "How many different scenes are shown?",
            "In the whole video, how many scenes do you see?",
        ),
        paraphrase=(
            "Into how many scenes is the clip cut?",
            "If you add up all scenes, what do you get?",
            "State the quantity of scenes.",
        ),
    ),
    "scene_where": Wordings(
        training=(
            "In which scene is {the}?",
            "Which scene shows {the}?",
            "In which scene can {the} be seen?",
            "Which scene is {the} in?",
            "In which of the scenes is {the}?",
            "Tell me in which scene {the} is.",
            "Say which scene {the} is in.",
            "In the video, which scene shows {the}?",
            "{the} is in which scene?",
        ),
        paraphrase=(
            "During which scene does {the} turn up?",
            "Name the scene to which {the} belongs.",
            "Which scene would you go to in order to find {the}?",
        ),
    ),
}
"""Group to its sentences."""
