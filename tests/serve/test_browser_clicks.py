"""Every click and every Enter on the page is answered, however badly it falls."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.serve.fakes import FakeModel, Pace, serving
from videollm.serve.engine import Engine
from videollm.serve.frames import FrameStrip
from videollm.serve.questions import Media
from videollm.serve.samples import Sample

pytestmark = pytest.mark.browser

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("gradio", reason="the extra 'serve' is not installed")

from playwright.sync_api import Browser, Page, expect  # noqa: E402
from starlette.types import ASGIApp, Message, Receive, Scope, Send  # noqa: E402

from tests.serve.visitor import (  # noqa: E402
    ask,
    choose,
    enter,
    expect_answer,
    expect_notice,
)


class LateClose:
    """Deliver the end of each event stream late, as a slow network may."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_late(message: Message) -> None:
            if b'"close_stream"' in message.get("body", b""):
                await asyncio.sleep(0.5)
            await send(message)

        await self.app(scope, receive, send_late)


@contextmanager
def visiting(
    browser: Browser,
    engine: Engine,
    samples: list[Sample],
    wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> Iterator[Page]:
    from videollm.serve.web import create_app

    with (
        serving(lambda: wrap(create_app(engine, samples))) as address,
        browser.new_context() as visitor,
    ):
        page = enter(visitor, address)
        page.wait_for_selector("#head .ok")  # from here on the page asks nothing by itself
        yield page


def test_a_question_is_answered_though_the_last_event_stream_ends_late(
    browser: Browser, samples: list[Sample]
) -> None:
    engine = Engine("demo", FakeModel)  # type: ignore[arg-type]
    with visiting(browser, engine, samples, LateClose) as page:
        choose(page, 1)
        ask(page, "one?")
        expect_answer(page, 1, "answer 1 to: one?")


def test_a_choice_that_takes_long_does_not_come_over_a_later_one(
    browser: Browser, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    engine = Engine("demo", FakeModel)  # type: ignore[arg-type]
    look = engine.look

    def look_slowly(media: Media) -> FrameStrip:
        if media.path == samples[0].path:
            go.wait(60)
        return look(media)

    monkeypatch.setattr(engine, "look", look_slowly)
    with visiting(browser, engine, samples) as page:
        page.click("#samples button:nth-child(1)")
        page.wait_for_selector("#samples button:nth-child(1)[aria-pressed=true]")
        ask(page, "one?")
        expect_notice(page, "The video is still being read")
        choose(page, 2)
        go.set()
        page.press("#question textarea", "Enter")
        expect_answer(page, 1, "answer 1 to: one?")
        assert page.locator("#samples button:nth-child(2)[aria-pressed=true]").count() == 1
        assert samples[1].path.name in page.get_attribute("#player video", "src")
        assert page.locator("#chips button").all_inner_texts() == list(samples[1].questions)


def test_a_question_too_many_is_refused_in_words(page: Page, pace: Pace) -> None:
    choose(page, 1)
    pace.free.clear()
    ask(page, "one?")
    expect_answer(page, 1, "...")
    ask(page, "two?")
    expect_notice(page, "One answer at a time")
    assert page.input_value("#question textarea") == "two?"
    pace.free.set()
    expect_answer(page, 1, "answer 1 to: one?")
    expect(page.locator("#stop")).to_be_disabled()


def test_chips_pressed_in_a_row_are_all_answered(page: Page, samples: list[Sample]) -> None:
    choose(page, 1)
    for number, question in enumerate(samples[0].questions, start=1):
        page.click(f"#chips button >> nth={number - 1}")
        expect_answer(page, number, f"answer {number} to: {question}")
        expect(page.locator("#stop")).to_be_disabled()
