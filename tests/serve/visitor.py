"""What a visitor of the chat page does and looks at."""

import re
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import BrowserContext, Page, expect  # noqa: E402

SECONDS = 1000
"""In milliseconds, as the browser counts."""

PATIENCE = 60 * SECONDS
"""The longest wait for the page: a machine that does much else may stand still for a while."""


def enter(visitor: BrowserContext, address: str) -> Page:
    page = visitor.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector("#samples button")
    return page


def choose(page: Page, number: int) -> None:
    page.click(f"#samples button:nth-child({number})")
    page.wait_for_selector(f"#samples button:nth-child({number})[aria-pressed=true]")
    page.wait_for_selector("#strip img")


def ask(page: Page, text: str) -> None:
    page.fill("#question textarea", text)
    page.press("#question textarea", "Enter")


def upload(page: Page, path: Path) -> None:
    page.set_input_files("#player input[type=file]", path)


def expect_answer(page: Page, number: int, text: str) -> None:
    """Wait until there are so many answers and the last one is this."""
    expect(page.get_by_test_id("bot")).to_have_count(number)
    expect(page.get_by_test_id("bot").last).to_have_text(text)


def expect_notice(page: Page, text: str) -> None:
    expect(page.locator("#notice .notice")).to_contain_text(text)


def brightness(page: Page) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(int(value) for value in re.findall(r"\d+", colour)[:3]) / 3
