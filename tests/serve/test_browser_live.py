"""The Live and Model tabs, the times in answers, and what is taken home, in headless Chromium."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.fakes import FakeModel, serving
from tests.tiny import tiny_videollm
from videollm.serve.engine import Engine
from videollm.serve.samples import Sample

pytestmark = pytest.mark.browser

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("gradio", reason="the extra 'serve' is not installed")

from playwright.sync_api import Browser, Page, expect  # noqa: E402

from tests.serve.visitor import SECONDS, ask, choose, enter, expect_answer  # noqa: E402
from videollm import VideoLLM  # noqa: E402

STANDING = "#standing textarea, #standing input"


@pytest.fixture(scope="module")
def live_address(tiny_llm: Path, samples: list[Sample]) -> Iterator[str]:
    from videollm.serve.web import create_app

    model = VideoLLM(*tiny_videollm(tiny_llm), name="tiny")
    engine = Engine("tiny", lambda: model)
    with serving(lambda: create_app(engine, samples)) as address:
        assert engine.settled.wait(60)
        yield address


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def start_camera(page: Page) -> None:
    open_tab(page, "Live")
    page.get_by_text("Click to Access Webcam").click()
    page.get_by_text("Record", exact=True).click()
    expect(page.locator("#gauge")).to_contain_text("frames")


def ask_live(page: Page, text: str) -> None:
    page.fill("#live-question textarea", text)
    page.press("#live-question textarea", "Enter")


def expect_live_answer(page: Page, number: int) -> None:
    answers = page.locator("#live-chat [data-testid='bot']")
    expect(answers).to_have_count(number)
    expect(answers.last).not_to_have_text("...")


def test_the_live_tab_answers_about_a_camera(browser: Browser, live_address: str) -> None:
    with browser.new_context(permissions=["camera"]) as visitor:
        page = enter(visitor, live_address)
        start_camera(page)
        ask_live(page, "what is there?")
        expect_live_answer(page, 1)
        page.fill(STANDING, "is it red?")
        page.press(STANDING, "Enter")
        expect(page.locator("#changes")).to_contain_text("is it red?")
        expect(page.locator("#changes .heard li")).not_to_have_count(0)
        page.click("#live-pause")
        expect(page.locator("#live-pause")).to_have_text("Go on")
        page.click("#live-save")
        expect(page.locator("#live-saved")).to_contain_text("stream")
        page.click("#live-end")
        expect(page.locator("#live-chat [data-testid='bot']")).to_have_count(0)
        expect(page.locator("#live-pause")).to_have_text("Pause")


def test_the_model_tab_says_what_answers(browser: Browser, live_address: str) -> None:
    with browser.new_context() as visitor:
        page = enter(visitor, live_address)
        open_tab(page, "Model")
        expect(page.locator("#facts")).to_contain_text("4 for 1 frames")
        expect(page.locator("#facts")).to_contain_text("cpu")


def test_times_in_an_answer_lead_into_the_video(page: Page) -> None:
    choose(page, 1)
    page.wait_for_function("document.querySelector('#player video').readyState >= 2")
    ask(page, "what is at 1.5s and 3 s?")
    expect_answer(page, 1, "answer 1 to: what is at 1.5s and 3 s?")
    moved = "at => Math.abs(document.querySelector('#player video').currentTime - at) < 0.05"
    page.get_by_role("button", name="1.5 s", exact=True).click()
    page.wait_for_function(moved, arg=1.5)
    assert page.evaluate("CSS.highlights.get('times').size") == 2
    spot = page.evaluate(
        "() => { const [, range] = [...CSS.highlights.get('times')];"
        " const box = range.getBoundingClientRect();"
        " return [box.x + box.width / 2, box.y + box.height / 2]; }"
    )
    page.mouse.click(*spot)
    page.wait_for_function(moved, arg=3.0)


def test_a_question_is_asked_in_other_words_and_the_talk_is_saved(
    page: Page, model: FakeModel
) -> None:
    choose(page, 1)
    ask(page, "waht moves?")
    expect_answer(page, 1, "answer 1 to: waht moves?")
    page.click("#edit")
    expect(page.locator("#question textarea")).to_have_value("waht moves?")
    expect(page.get_by_test_id("bot")).to_have_count(0)
    page.click("#settings button")
    page.get_by_label("System message").fill("Be brief.")
    page.get_by_label("Frames a second").fill("2")
    ask(page, "what moves?")
    expect_answer(page, 1, "answer 1 to: what moves?")
    assert (model.calls[-1]["system"], model.calls[-1]["num_frames"]) == ("Be brief.", 8)
    with page.expect_download() as saved:
        page.click("#save_json")
    talk = json.loads(saved.value.path().read_text())
    assert talk["turns"][0]["answer"] == "answer 1 to: what moves?"
    with page.expect_download() as saved:
        page.click("#save_markdown")
    assert saved.value.suggested_filename == "talk.md"
    assert "**what moves?**" in saved.value.path().read_text()


def test_an_address_that_may_not_be_fetched_is_said(page: Page) -> None:
    page.fill("#address textarea, #address input", "http://127.0.0.1/clip.mp4")
    page.press("#address textarea, #address input", "Enter")
    expect(page.locator("#notice .notice")).to_contain_text("not on the open internet")


@pytest.mark.skipif("VIDEOLLM_SCREENSHOT" not in os.environ, reason="VIDEOLLM_SCREENSHOT not set")
def test_screenshot_of_the_live_tab(browser: Browser, samples: list[Sample]) -> None:
    from videollm.serve.web import create_app

    engine = Engine("demo", lambda: VideoLLM.from_pretrained("demo"))
    size = {"width": 1280, "height": 800}
    with serving(lambda: create_app(engine, samples)) as address:
        assert engine.settled.wait(300)
        options = {"viewport": size, "device_scale_factor": 1.5, "permissions": ["camera"]}
        with browser.new_context(**options) as visitor:
            page = enter(visitor, address)
            start_camera(page)
            page.fill(STANDING, "Is there a circle?")
            page.press(STANDING, "Enter")
            for number, text in enumerate(("How many shapes are there?", "What moves?"), start=1):
                page.wait_for_timeout(3 * SECONDS)
                ask_live(page, text)
                expect_live_answer(page, number)
            page.wait_for_timeout(3 * SECONDS)
            target = Path(os.environ["VIDEOLLM_SCREENSHOT"]).with_name("live_page.png")
            page.screenshot(path=target)
