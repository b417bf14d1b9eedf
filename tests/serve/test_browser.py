"""The chat page in a real browser: what a visitor sees and does.

VIDEOLLM_SCREENSHOT=docs/chat_page.png pytest tests/serve/test_browser.py
also takes the picture for the documentation, of the real demo model.
"""

import os
import threading
from pathlib import Path

import pytest

from tests.serve.fakes import LIMIT, FakeModel, Pace, serving, wait_until
from videollm.serve.engine import Engine
from videollm.serve.samples import Sample

pytestmark = pytest.mark.browser

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect  # noqa: E402

from tests.serve.visitor import (  # noqa: E402
    SECONDS,
    ask,
    brightness,
    choose,
    enter,
    expect_answer,
    expect_notice,
    upload,
)


def test_a_talk_about_a_sample_streams_and_remembers(
    page: Page, pace: Pace, model: FakeModel, samples: list[Sample]
) -> None:
    choose(page, 3)
    assert page.locator("#strip img").count() == 16
    offered = page.locator("#chips button").all_inner_texts()
    assert offered == list(samples[2].questions)
    pace.free.clear()
    page.click("#chips button >> nth=0")
    pace.words.release(2)
    expect_answer(page, 1, "answer 1")  # while the rest is still unsaid
    assert page.is_enabled("#stop")
    pace.free.set()
    expect_answer(page, 1, f"answer 1 to: {offered[0]}")
    expect(page.locator("#cost")).to_contain_text("16 frames")
    for part in ("64 visual tokens", "answer tokens", "first token 0.25 s", "total 0.50 s"):
        assert part in page.inner_text("#cost")
    assert page.is_disabled("#stop")
    ask(page, "and then?")
    expect_answer(page, 2, "answer 2 to: and then?")
    assert page.input_value("#question textarea") == ""
    assert model.calls[-1]["history"][0] == {"role": "user", "content": offered[0]}


def test_stop_keeps_the_words_retry_asks_again_clear_forgets(
    page: Page, pace: Pace, model: FakeModel
) -> None:
    choose(page, 1)
    pace.free.clear()
    ask(page, "a long one?")
    pace.words.release(2)
    expect_answer(page, 1, "answer 1")
    page.click("#stop")
    expect_answer(page, 1, "answer 1 (stopped)")
    pace.free.set()
    page.click("#retry")
    expect_answer(page, 1, "answer 1 to: a long one?")
    assert model.calls[-1]["seed"] == 1
    page.click("#clear")
    expect(page.get_by_test_id("bot")).to_have_count(0)
    assert page.locator("#strip img").count() == 16  # the video stays


def test_another_video_begins_another_talk(page: Page, model: FakeModel) -> None:
    choose(page, 1)
    ask(page, "one?")
    expect_answer(page, 1, "answer 1 to: one?")
    choose(page, 2)
    expect_notice(page, "New video, new talk: Clip 2.")
    expect(page.get_by_test_id("bot")).to_have_count(0)
    ask(page, "two?")
    expect_answer(page, 1, "answer 1 to: two?")


def test_a_setting_beyond_its_range_is_said_in_words(page: Page) -> None:
    choose(page, 1)
    page.click("#settings button")
    page.fill("#fps input", "-3")
    expect(page.locator("#notice")).to_contain_text("fps is -3")
    page.fill("#fps input", "0")
    choose(page, 2)
    ask(page, "what moves?")
    expect_answer(page, 1, "answer 1 to: what moves?")
    assert page.get_by_test_id("toast-body").count() == 0


def test_another_video_joins_the_talk(page: Page, model: FakeModel) -> None:
    choose(page, 1)
    ask(page, "one?")
    expect_answer(page, 1, "answer 1 to: one?")
    page.click("#settings button")
    page.check("#keep-talk input")
    choose(page, 2)
    expect_notice(page, "The talk goes on with Clip 2.")
    expect(page.locator("#strip")).to_contain_text("will see")
    ask(page, "two?")
    expect_answer(page, 2, "answer 2 to: two?")
    expect(page.locator("#chat")).to_contain_text("About Clip 1:")
    expect(page.locator("#chat")).to_contain_text("About Clip 2:")
    assert (model.calls[-1]["videos"], model.calls[-1]["num_frames"]) == ([1, 1], 32)


def test_a_surprise_is_talked_about(page: Page, model: FakeModel) -> None:
    page.get_by_role("button", name="Surprise me").click()
    page.wait_for_selector("#strip img")
    ask(page, "what moves?")
    expect_answer(page, 1, "answer 1 to: what moves?")
    assert model.calls[-1]["num_frames"] == 16


def test_two_visitors_do_not_see_each_other(
    page: Page, browser: Browser, address: str, pace: Pace
) -> None:
    with browser.new_context() as other_visitor:
        other = enter(other_visitor, address)
        choose(page, 1)
        choose(other, 2)
        pace.free.clear()
        ask(page, "mine?")
        expect_answer(page, 1, "...")
        ask(other, "yours?")
        expect_answer(other, 1, "1 question ahead of yours.")
        pace.free.set()
        expect_answer(page, 1, "answer 1 to: mine?")
        expect_answer(other, 1, "answer 1 to: yours?")


def test_leaving_the_page_frees_the_model(
    browser: Browser, address: str, pace: Pace, model: FakeModel
) -> None:
    with browser.new_context() as visitor:
        page = enter(visitor, address)
        choose(page, 1)
        pace.free.clear()
        question = "still there?" + " hello" * 300
        ask(page, question)
        wait_until(lambda: model.last_question == question, 60)
        left = model.streams[-1]

    def closed_a_word_later() -> bool:
        pace.words.release()
        threading.Event().wait(0.03)
        return left.closed

    wait_until(closed_a_word_later, 60)
    assert not left.finished


def test_an_upload_is_talked_about(page: Page, clip_path: Path, model: FakeModel) -> None:
    upload(page, clip_path)
    expect(page.locator("#strip")).to_contain_text("The 16 frames the model will see")
    ask(page, "what is it?")
    expect_answer(page, 1, "answer 1 to: what is it?")
    expect(page.locator("#strip")).to_contain_text("The 16 frames the model saw")
    assert model.calls[-1]["num_frames"] == 16


def test_what_cannot_be_used_is_one_friendly_sentence(page: Page, tmp_path: Path) -> None:
    notes = tmp_path / "<b>notes<b>.mp4"
    notes.write_text("only words\n" * 50)
    upload(page, notes)
    expect_notice(page, "notes")
    assert "Traceback" not in page.inner_text("body")
    assert str(tmp_path) not in page.inner_text("#notice")
    assert page.locator("#notice b").count() == 0
    assert page.locator("#strip img").count() == 0
    ask(page, "what is it?")
    expect_notice(page, "Choose a video first")
    assert page.input_value("#question textarea") == "what is it?"
    choose(page, 1)
    ask(page, "   ")
    expect_notice(page, "Type a question first")
    assert page.get_by_test_id("bot").count() == 0


def test_a_file_that_is_too_large_is_refused_with_the_limit(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    large.write_bytes(b"x" * (LIMIT + 1))
    upload(page, large)
    expect(page.get_by_test_id("toast-body")).to_contain_text("1.0 Mb")


def test_a_frame_moves_the_player_to_its_time(page: Page) -> None:
    choose(page, 1)
    page.wait_for_function("document.querySelector('#player video').readyState >= 2")
    button = page.locator("#strip button >> nth=9")
    seconds = float(button.get_attribute("data-seconds"))
    button.click()
    page.wait_for_function(
        "wanted => Math.abs(document.querySelector('#player video').currentTime - wanted) < 0.05",
        arg=seconds,
    )
    assert page.evaluate("document.querySelector('#player video').paused")


def test_settings_reach_the_model(page: Page, model: FakeModel) -> None:
    choose(page, 1)
    page.click("#settings button")
    slider = page.get_by_label("range slider for Frames the model sees")
    # What is typed while the drawer is still being built is overwritten by the old value.
    expect(slider).to_have_value("16")
    box = page.get_by_label("number input for Frames the model sees")
    for typed, frames in (("100", "32 frames"), ("", "1 frame"), ("5", "5 frames")):
        box.fill(typed)
        expect(page.locator("#strip")).to_contain_text(f"The {frames} the model will see")
    assert page.get_by_test_id("toast-body").count() == 0
    ask(page, "few frames?")
    expect_answer(page, 1, "answer 1 to: few frames?")
    assert model.calls[-1]["num_frames"] == 5
    expect(page.locator("#strip")).to_contain_text("The 5 frames the model saw")


def test_the_page_fits_a_phone_and_follows_the_browsers_colours(
    page: Page, browser: Browser, address: str
) -> None:
    size = {"width": 390, "height": 844}
    with browser.new_context(viewport=size, color_scheme="dark") as visitor:
        phone = enter(visitor, address)
        choose(phone, 1)
        ask(phone, "what moves?")
        expect_answer(phone, 1, "answer 1 to: what moves?")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        assert brightness(phone) < 60
    assert brightness(page) > 200  # without a wish the page is light


@pytest.mark.skipif("VIDEOLLM_SCREENSHOT" not in os.environ, reason="VIDEOLLM_SCREENSHOT not set")
def test_screenshot_for_the_documentation(browser: Browser, samples: list[Sample]) -> None:
    from videollm.api import VideoLLM
    from videollm.serve.web import create_app

    engine = Engine("demo", lambda: VideoLLM.from_pretrained("demo"))
    size = {"width": 1280, "height": 800}
    with serving(lambda: create_app(engine, samples)) as address:
        assert engine.settled.wait(300)
        assert engine.load_error is None
        with browser.new_context(viewport=size, device_scale_factor=1.5) as visitor:
            page = enter(visitor, address)
            choose(page, 4)
            for number, question in enumerate(samples[3].questions, start=1):
                ask(page, question)
                expect(page.get_by_test_id("bot")).to_have_count(number)
                expect(page.locator("#stop")).to_be_disabled(timeout=120 * SECONDS)
            page.click("#strip button >> nth=3")
            page.wait_for_timeout(SECONDS)
            page.mouse.click(640, 790)
            page.screenshot(path=os.environ["VIDEOLLM_SCREENSHOT"])
