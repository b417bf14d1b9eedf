"""A table of what models really say, and which choice that is."""

import pytest

from videollm.choices import choice_letter, choice_text, label_choices, parse_choice

COLOURS = label_choices(["red", "blue", "dark green", "green"])
ANSWERS = label_choices(["Yes", "No", "Not sure"])
COUNTS = label_choices(["3", "2", "4"])
PLACES = label_choices(
    ["In the middle of the video.", "At the end of the video.", "Throughout the entire video."]
)
ACTIONS = label_choices(["Put down the pillow.", "Open the door.", "A man takes the book."])
LETTERS = label_choices(["c", "r", "a"])
SIGNS = label_choices(
    ["a circle, then the letter A", "a triangle with the letter A, then a circle"]
)

# Each: the choices, the raw output, and the letter that it names or nothing.
TABLE = [
    # A letter alone, in every dress.
    (COLOURS, "B", "B"),
    (COLOURS, "b", "B"),
    (COLOURS, " B ", "B"),
    (COLOURS, "B\n", "B"),
    (COLOURS, "B.", "B"),
    (COLOURS, "B)", "B"),
    (COLOURS, "B:", "B"),
    (COLOURS, "(B)", "B"),
    (COLOURS, "(b)", "B"),
    (COLOURS, "( B )", "B"),
    (COLOURS, "[B]", "B"),
    (COLOURS, "{B}", "B"),
    (COLOURS, "**B**", "B"),
    (COLOURS, "**(B)**", "B"),
    (COLOURS, "*B*", "B"),
    (COLOURS, "`B`", "B"),
    (COLOURS, '"B"', "B"),
    (COLOURS, "'B'", "B"),
    (COLOURS, "\u201cB\u201d", "B"),
    (COLOURS, "$B$", "B"),
    (COLOURS, "$\\boxed{B}$", "B"),
    (COLOURS, "\\boxed{\\text{B}}", "B"),
    (COLOURS, "<answer>B</answer>", "B"),
    (COLOURS, "<answer> (B) blue", "B"),
    (COLOURS, "B</s>", "B"),
    (COLOURS, "B<|im_end|>", "B"),
    (COLOURS, "### B", "B"),
    (COLOURS, "- B", "B"),
    (COLOURS, "A", "A"),
    (COLOURS, "a", "A"),
    (COLOURS, "A.", "A"),
    (COLOURS, "(a)", "A"),
    # A letter with its text.
    (COLOURS, "B. blue", "B"),
    (COLOURS, "B) blue", "B"),
    (COLOURS, "(B) blue", "B"),
    (COLOURS, "(B) Blue.", "B"),
    (COLOURS, "B: blue", "B"),
    (COLOURS, "B - blue", "B"),
    (COLOURS, "B, blue", "B"),
    (COLOURS, "B\nblue", "B"),
    (COLOURS, "b. blue", "B"),
    (COLOURS, "B blue", "B"),
    (COLOURS, "A. red", "A"),
    (COLOURS, "(C) dark green, as the frames show", "C"),
    (COLOURS, "**B.** blue", "B"),
    (COLOURS, "B. The circle is blue. Options A, C and D are wrong.", "B"),
    # A letter in a sentence.
    (COLOURS, "The answer is B", "B"),
    (COLOURS, "The answer is B.", "B"),
    (COLOURS, "The answer is (B).", "B"),
    (COLOURS, "The answer is: B", "B"),
    (COLOURS, "The answer is **B**.", "B"),
    (COLOURS, "the answer is b", "B"),
    (COLOURS, "The correct answer is B. blue", "B"),
    (COLOURS, "The correct option is (B) blue.", "B"),
    (COLOURS, "The best answer is B because the circle is blue.", "B"),
    (COLOURS, "The right choice would be B.", "B"),
    (COLOURS, "Answer: B", "B"),
    (COLOURS, "Answer:B", "B"),
    (COLOURS, "ANSWER: B", "B"),
    (COLOURS, "Answer - B", "B"),
    (COLOURS, "Final answer: (B)", "B"),
    (COLOURS, "Best option: (B)", "B"),
    (COLOURS, "Best option: B", "B"),
    (COLOURS, "Option B", "B"),
    (COLOURS, "option b", "B"),
    (COLOURS, "Option (B)", "B"),
    (COLOURS, "Option A is correct.", "A"),
    (COLOURS, "Option a.", "A"),
    (COLOURS, "option A", "A"),
    (COLOURS, "I choose B.", "B"),
    (COLOURS, "I would select option B.", "B"),
    (COLOURS, "I'd go with B.", "B"),
    (COLOURS, "I think it is B", "B"),
    (COLOURS, "It's B.", "B"),
    (COLOURS, "My answer is letter B", "B"),
    (COLOURS, "B is correct.", "B"),
    (COLOURS, "B is the correct answer.", "B"),
    (COLOURS, "(B) is the best answer", "B"),
    (COLOURS, "Sure! The answer is B.", "B"),
    (COLOURS, "Based on the video, the answer is (B) blue.", "B"),
    (COLOURS, "Looking at the video, (B) blue is right.", "B"),
    (COLOURS, "Option 2", "B"),
    (COLOURS, "Caption 2", "B"),
    (COLOURS, "Sentence B", "B"),
    (COLOURS, "Caption B: blue", "B"),
    # Reasoning first.
    (COLOURS, "<think>Is it A? No.</think>B", "B"),
    (COLOURS, "<think>A or B</think>\n\nThe answer is B.", "B"),
    (COLOURS, "Reasoning: the circle is red at first. Answer: B", "B"),
    (COLOURS, "The answer is A. Wait, it turns. The answer is B.", "B"),
    (COLOURS, "(A) red is wrong, so the answer is (B).", "B"),
    (COLOURS, "The answer is B, not A.", "B"),
    # The text of a choice.
    (COLOURS, "blue", "B"),
    (COLOURS, "Blue.", "B"),
    (COLOURS, "BLUE", "B"),
    (COLOURS, "the blue", "B"),
    (COLOURS, "It is blue.", "B"),
    (COLOURS, "The circle in the video is blue.", "B"),
    (COLOURS, "dark green", "C"),
    (COLOURS, "The circle is dark green.", "C"),
    (COLOURS, "green", "D"),
    (COLOURS, "A blue circle.", "B"),
    (COLOURS, "I see a blue circle.", "B"),
    (COLOURS, "The answer is blue.", "B"),
    (COLOURS, "a red circle", "A"),
    (ANSWERS, "yes", "A"),
    (ANSWERS, "Yes, there are.", "A"),
    (ANSWERS, "No.", "B"),
    (ANSWERS, "No, there are none.", "B"),
    (ANSWERS, "not sure", "C"),
    (ANSWERS, "I am not sure.", "C"),
    (COUNTS, "3", "A"),
    (COUNTS, "Three", "A"),
    (COUNTS, "2 times", "B"),
    (COUNTS, "four times.", "C"),
    (COUNTS, "B. 2", "B"),
    (PLACES, "At the end of the video", "B"),
    (PLACES, "It happens throughout the entire video.", "C"),
    (ACTIONS, "The person will open the door.", "B"),
    (ACTIONS, "A man takes the book.", "C"),
    (ACTIONS, "A man takes the book", "C"),
    (LETTERS, "C", "C"),
    (LETTERS, "(C) a", "C"),
    (LETTERS, "The answer is B.", "B"),
    (LETTERS, "(A)", "A"),
    (SIGNS, "(B) a triangle with the letter A, then a circle", "B"),
    (SIGNS, "B. a triangle with the letter A, then a circle", "B"),
    (SIGNS, "I see a triangle with the letter A, then a circle.", "B"),
    # None, or more than one.
    (COLOURS, "", None),
    (COLOURS, "   \n", None),
    (COLOURS, ".", None),
    (COLOURS, "E", None),
    (COLOURS, "The answer is F.", None),
    (COLOURS, "A or B", None),
    (COLOURS, "A and B", None),
    (COLOURS, "A, B", None),
    (COLOURS, "(A) or (B)", None),
    (COLOURS, "Both A and B", None),
    (COLOURS, "either A or C", None),
    (COLOURS, "red or blue", None),
    (COLOURS, "It is not blue.", None),
    (COLOURS, "The answer is not B.", None),
    (COLOURS, "(A) red\n(B) blue\n(C) dark green\n(D) green", None),
    (COLOURS, "A. red\nB. blue", None),
    (COLOURS, "(A) blue", None),
    (COLOURS, "A. blue", None),
    (COLOURS, "The answer is A. blue", None),
    (COLOURS, "yellow", None),
    (COLOURS, "A circle moves to the left.", None),
    (COLOURS, "I cannot tell.", None),
    (COLOURS, "I", None),
    (COLOURS, "a circle", None),
    (COLOURS, "None of the above.", None),
    (COLOURS, "redder than before", None),
    (COLOURS, "<think>It may be B", None),
    (COUNTS, "23", None),
    (COUNTS, "5", None),
    (COUNTS, "2 or 3", None),
    (ANSWERS, "nothing", None),
]


@pytest.mark.parametrize(("choices", "output", "letter"), TABLE)
def test_what_models_say(choices: tuple[str, ...], output: str, letter: str | None) -> None:
    index = parse_choice(output, choices)
    assert (None if index is None else choice_letter(choices[index])) == letter


def test_the_table_is_large_and_says_nothing_twice() -> None:
    assert len(TABLE) >= 100
    assert len({(choices, output) for choices, output, _ in TABLE}) == len(TABLE)


def test_labels_come_off_as_they_went_on() -> None:
    texts = ["red", "(A) odd", "", "two\nlines"]
    assert [choice_text(choice) for choice in label_choices(texts)] == texts
    assert [choice_letter(choice) for choice in label_choices(texts)] == list("ABCD")
    assert (choice_letter("red"), choice_text("red")) == ("", "red")


@pytest.mark.parametrize("count", [1, 2, 5, 26])
def test_every_letter_of_every_choice_is_read(count: int) -> None:
    choices = label_choices([f"thing number {index * 7}" for index in range(count)])
    for index, choice in enumerate(choices):
        for said in (choice, choice_letter(choice), choice_text(choice), f"({choice[1]})"):
            assert parse_choice(said, choices) == index
