"""Light and dark, a phone, paper."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import page_kit
from odyssey.report.page.build import write_page
from page_kit import opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with page_kit.chromium() as started:
        yield started


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, page_kit.payload(211, seed=5))
    return path


def ground(page: Any) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def becomes(page: Any, theme: str) -> None:
    """Wait for the colours of the page and of a figure in it."""
    body, ink = {
        "light": ("rgb(255, 255, 255)", "#161a20"),
        "dark": ("rgb(20, 22, 26)", "#e7e9ec"),
    }[theme]
    page.wait_for_selector("#answer .plot[data-drawn]")
    page.wait_for_function(
        """([body, ink]) => getComputedStyle(document.body).backgroundColor === body &&
        document.querySelector("#answer .plot")._fullLayout.font.color === ink""",
        arg=[body, ink],
    )


@pytest.mark.slow
def test_colours_follow_the_system_until_the_reader_says_otherwise(
    browser: Any, file: Path
) -> None:
    with opened(browser, file, color_scheme="dark") as page:
        becomes(page, "dark")
        page.emulate_media(color_scheme="light")
        becomes(page, "light")
        page.click("#theme")  # light
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(200)
        becomes(page, "light")
        page.click("#theme")  # dark
        page.emulate_media(color_scheme="light")
        page.reload()
        becomes(page, "dark")


@pytest.mark.slow
def test_nothing_is_wider_than_a_phone(browser: Any, file: Path) -> None:
    width = 360
    screen = {"viewport": {"width": width, "height": 740}, "is_mobile": True, "has_touch": True}
    with opened(browser, file, **screen) as page:
        for section in ("answer", "figures", "tables", "runs", "how"):
            page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
            page.wait_for_timeout(150)
        page.locator("#figures .plot[data-drawn]").nth(1).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("visualViewport.scale") == 1
        page.locator("tr.run").nth(2).tap()
        page.wait_for_selector("#drawer .curve .plot[data-drawn], #drawer .curve .hint")
        assert page.locator("#drawer").bounding_box()["width"] <= width + 0.5
        assert page.evaluate("document.querySelector('#drawer .drawer-body').scrollWidth") <= width
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.locator("#drawer .close").tap()
        page.wait_for_selector("#drawer", state="hidden")


@pytest.mark.slow
def test_paper_has_all_that_matters_and_no_controls(
    browser: Any, file: Path, tmp_path: Path
) -> None:
    with opened(browser, file, color_scheme="dark") as page:
        page.wait_for_function("window.Plotly")
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator(".plot[data-drawn]").count() == page.locator("figure").count() == 5
        assert ground(page) == "rgb(255, 255, 255)"
        assert page.locator("#printed-runs tbody tr").count() == 40
        assert "The first 40 of" in page.inner_text("#printed-runs")
        for gone in (".bar", ".run-scroll", "#search", ".copies", ".switches", ".code button"):
            assert not page.locator(gone).first.is_visible(), gone
        widest = page.evaluate(
            "Math.max(...[...document.querySelectorAll('.plot svg')].map(s => s.clientWidth))"
        )
        assert 600 <= widest <= 700
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        page.emulate_media(media="screen")
        assert ground(page) == "rgb(20, 22, 26)" and page.locator("#printed-runs").count() == 0
        page.pdf(path=tmp_path / "page.pdf")
        page.wait_for_selector("#printed-runs", state="detached")
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF") and 4 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 14
    drawn = 0
    for packed in re.findall(rb"stream\r?\n(.*?)endstream", content, re.S):
        try:
            drawn += zlib.decompress(packed).count(b" c\n")  # curves of the points
        except zlib.error:
            continue
    assert drawn > 500  # the figures are drawings in it, not blanks
