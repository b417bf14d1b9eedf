"""How soon a visitor sees the chat page while the model is still loading.

    python -m benchmarks.page_paint --output benchmarks/results

Starts `videollm serve`, opens the page in a fresh headless Chromium the moment the server answers,
and again once the model is ready. Times count from the visitor's navigation: the browser's own
first contentful paint, and the moment when a sample can be chosen and a question typed.
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.measure import save

PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
LONGEST_SECONDS = 300.0


def main() -> int:
    """Measure, print and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        print("error: no chromium in PATH: apt-get install chromium", file=sys.stderr)
        return 2
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "videollm", "serve", "--model", options.model]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        start = time.perf_counter()
        server = subprocess.Popen([*command, "--port", str(port)])
        try:
            record = measure(browser, address, start)
        finally:
            server.terminate()
            server.wait()
            browser.close()
    print(json.dumps(record, indent=2))
    if options.output is not None:
        words = ["benchmarks.page_paint", "--model", options.model]
        save(options.output, "page_paint", record, [*words, "--output", "benchmarks/results"])
    return 0


def measure(browser: Browser, address: str, start: float) -> dict[str, Any]:
    """Return what the first visitor and a later one wait for.

    Args:
        browser: Opens a fresh profile for each.
        address: Of the page.
        start: The clock when the server was started.
    """
    wait_for(address, "loading", "ok")
    record: dict[str, Any] = {"server_answers_seconds": round(time.perf_counter() - start, 2)}
    record["while_loading"] = visit(browser, address)
    wait_for(address, "ok")
    record["model_ready_seconds"] = round(time.perf_counter() - start, 2)
    record["when_ready"] = visit(browser, address)
    return record


def visit(browser: Browser, address: str) -> dict[str, float]:
    """Open the page as somebody new; return the seconds that it takes to show and to be usable."""
    with browser.new_context(viewport={"width": 1280, "height": 820}) as visitor:
        page = visitor.new_page()
        page.set_default_timeout(1000 * LONGEST_SECONDS)
        start = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.wait_for_function(f"({PAINT}) !== null")
        paint = page.evaluate(PAINT) / 1000
        page.wait_for_selector("#samples button")
        page.wait_for_selector("#question textarea")
        usable = time.perf_counter() - start
        return {
            "first_contentful_paint_seconds": round(paint, 2),
            "usable_seconds": round(usable, 2),
        }


def wait_for(address: str, *statuses: str) -> None:
    """Wait until the server says one of these of its model.

    Raises:
        TimeoutError: It did not.
    """
    end = time.perf_counter() + LONGEST_SECONDS
    while time.perf_counter() < end:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
                if json.load(answer)["status"] in statuses:
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"{address} was not {' or '.join(statuses)} in {LONGEST_SECONDS:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
