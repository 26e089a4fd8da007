"""The page in Chromium: it opens from disk, says its answer, and leads to every run."""

from __future__ import annotations

import copy
import gzip
import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import page_kit
from odyssey.errors import UserError
from odyssey.report.figures import figures as made
from odyssey.report.figures.marks import Figure, Panel
from odyssey.report.page.build import plain_script, write_page
from odyssey.report.payload import figure_data
from page_kit import opened
from report_figures_kit import KINDS, build

MIB = 2**20


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with page_kit.chromium() as started:
        yield started


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A page of seven finished runs, which do not lie on each other in a figure."""
    payloads = (page_kit.payload(7, seed=seed, comparisons=2) for seed in range(100))
    data = next(d for d in payloads if set(d["details"]["state"]) == {"finished"})
    file = tmp_path_factory.mktemp("page") / "seven.html"
    assert write_page(file, data) == file.stat().st_size
    return file, data


def test_the_file_is_whole_and_the_same_every_time(tmp_path: Path) -> None:
    data = page_kit.payload(97)
    write_page(tmp_path / "a" / "page.html", data)  # the folder is made
    write_page(tmp_path / "b.html", copy.deepcopy(data))
    text = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert (tmp_path / "a" / "page.html").read_text(encoding="utf-8") == text
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["page.html"]
    assert not re.search(r"{{ \w+ }}", text)
    curves = re.search(r'id="curves">([^<]*)<', text)
    assert curves and gzip.decompress(b64decode(curves[1])).count(b"valid/nats_per_frame") > 70


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_no_word_for_is_a_bug(tmp_path: Path, value: float) -> None:
    data = page_kit.payload(3)
    data["runs"]["rows"][1][4] = value
    with pytest.raises(ValueError):
        write_page(tmp_path / "page.html", data)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bundle", ["", "var a=1;export{a as jQuery};", "displayBuffer;export{a};"])
def test_another_bundle_of_datatables_is_refused(bundle: str) -> None:
    with pytest.raises(UserError, match="itables>="):
        plain_script(bundle)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [0, 1, 5000])
def test_it_loads_without_a_complaint_or_a_request(browser: Any, tmp_path: Path, runs: int) -> None:
    file = tmp_path / "page.html"
    data = page_kit.payload(runs, seed=runs)
    assert write_page(file, data) < 10 * MIB
    with opened(browser, file) as page:
        assert page.title() == page.inner_text("h1") == data["title"]
        first = data["comparisons"][0]["metrics"][0]["headline"]
        assert page.locator("ol.headline > li").count() == len(first)
        assert page.inner_text("ol.headline > li >> nth=1 >> strong") == first[1]["variant"]
        assert page.inner_text("ol.headline > li >> nth=1 >> .chip") == first[1]["word"]
        assert first[1]["sentence"] in page.inner_text("ol.headline > li >> nth=1")
        factors = data["comparisons"][0]["metrics"][0]["factors"]
        shown = page.locator(".factors dt, .factors dd").all_text_contents()
        assert shown == [text for line in factors["sentences"] for text in line]
        page.wait_for_selector("#answer .plot[data-drawn]")
        assert page.locator("#answer [data-key=verdicts] tbody tr").count() == 9
        mine = sum(place == 0 for place in data["runs"]["comparison"])
        assert page.locator("tr.run").count() <= 80  # of however many
        assert page.inner_text(".counted").startswith(f"{mine} " if mine < 10_000 else "")
        assert not page.is_visible("#trouble")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["search", "seeds", "marks"])
def test_every_figure_is_drawn_by_the_browser(browser: Any, tmp_path: Path, kind: str) -> None:
    """Plotly's Python package takes layouts that its JavaScript cannot draw."""
    labels = [f"{cell} bptt.length={n}" for cell in ("gru", "rnn") for n in (7, "null")]
    if kind == "marks":
        figures = [
            Figure(key=f"k{i}", title="T", caption="C.", panels=[[Panel(marks=[mark])] * 2])
            for i, mark in enumerate(KINDS)
        ]
    else:
        analysis = build(kind, labels, 23, trees=3, margin=0.1, diverged=0.2, failed=0.1)
        figures = made(analysis, run_index={})
    data = page_kit.payload(7)
    data["comparisons"][0]["metrics"][0]["figures"] = [figure_data(f) for f in figures]
    write_page(tmp_path / "page.html", data)
    with opened(
        browser, tmp_path / "page.html", viewport={"width": 1280, "height": 20_000}
    ) as page:
        plots = page.locator("figure .plot")
        assert plots.count() == len(figures) > 5
        for i in range(len(figures)):
            plots.nth(i).scroll_into_view_if_needed()
            plots.nth(i).locator("svg.main-svg").first.wait_for()
        assert page.locator(".plot[data-drawn]").count() == len(figures)


@pytest.mark.slow
def test_a_click_on_a_point_opens_its_run(browser: Any, seven: Any) -> None:
    file, data = seven
    with opened(browser, file) as page:
        page.wait_for_selector("#answer .plot[data-drawn]")
        last = "[data-key=marginal-hidden]"
        assert page.locator(f"{last} .plot[data-drawn]").count() == 0  # not before it is seen
        for figure in (last, "[data-key=top]"):  # dots, and the points of boxes
            page.locator(figure).scroll_into_view_if_needed()
            point = page.locator(f"{figure} .trace").nth(4).locator("path.point").first
            point.hover(force=True)
            point.click(force=True)
            page.wait_for_selector("#drawer:visible")
            assert page.evaluate("location.hash").endswith("run=4")
            shows_run_4(page, data)
            page.keyboard.press("Escape")
            page.wait_for_selector("#drawer", state="hidden")
            assert "run=" not in page.evaluate("location.hash")


def shows_run_4(page: Any, data: dict[str, Any]) -> None:
    row, details = data["runs"]["rows"][4], data["details"]
    assert page.inner_text("#drawer-title") == row[0]
    text = page.inner_text("#drawer")
    assert details["command"][4] in text and details["path"][4] in text
    assert f"{row[10]}" in page.inner_text("#drawer .settings dl")
    page.wait_for_selector("#drawer .curve .plot[data-drawn]")
    drawn = page.evaluate("document.querySelector('#drawer .curve .plot').data[0]")
    assert [drawn["x"], drawn["y"]] == details["curves"][4]["valid/nats_per_frame"]


@pytest.mark.slow
def test_a_link_leads_to_a_run_and_back_leaves_it(browser: Any, seven: Any) -> None:
    file, data = seven
    with opened(browser, file, "#run=5") as page:
        assert page.inner_text("#drawer-title") == data["runs"]["rows"][5][0]
        page.evaluate("location.hash = '#run=2'")
        page.wait_for_function("document.querySelector('#drawer-title').textContent.length > 0")
        page.locator("#drawer-title", has_text=data["runs"]["rows"][2][0]).wait_for()
        page.go_back()
        page.locator("#drawer-title", has_text=data["runs"]["rows"][5][0]).wait_for()
        # Typed before the list is there: it is built at `toggle`, which comes later than the click.
        page.evaluate("""() => {
            const details = document.querySelector("#drawer .settings details")
            details.querySelector("summary").click()
            const field = details.querySelector("[aria-label='Find a setting']")
            field.value = "setting_59"
            field.dispatchEvent(new Event("input"))
        }""")
        page.wait_for_selector("#drawer .settings details dl")  # built when `toggle` comes
        assert page.locator("#drawer .settings details dl > div:visible").count() == 1
    with opened(browser, file, "#run=7&comparison=nowhere&metric=no") as page:  # there is no run 7
        assert not page.is_visible("#drawer")
        assert page.inner_text("#answer-title") == "music on jsb"


@pytest.mark.slow
def test_comparison_and_metric_are_switched(browser: Any, seven: Any) -> None:
    file, data = seven
    other = data["comparisons"][1]
    with opened(browser, file) as page:
        page.click("[aria-label=Metric] >> text=accuracy")
        page.locator(".measure b", has_text="accuracy").wait_for()
        page.click("[aria-label=Study] >> text=nottingham")
        page.locator("#answer-title", has_text=other["title"]).wait_for()
        assert page.inner_text(".measure b") == "accuracy"  # the metric stays where both have it
        assert (
            page.inner_text(".headline li >> nth=2 >> p")
            == other["metrics"][1]["headline"][2]["sentence"]
        )
        address = page.evaluate("location.hash")
        assert page.locator("tr.run").count() == 1 and page.inner_text(".counted") == "1 run"
        page.wait_for_selector("#answer .plot[data-drawn]")
    with opened(browser, file, address) as page:
        assert page.inner_text("#answer-title") == other["title"]
        assert page.get_attribute("[aria-label=Metric] button >> nth=1", "aria-pressed") == "true"


@pytest.mark.slow
def test_what_could_not_be_compared_is_said(browser: Any, tmp_path: Path) -> None:
    data = page_kit.payload(5, comparisons=1)
    data["comparisons"][0]["metrics"] = []
    write_page(tmp_path / "none.html", data)
    with opened(browser, tmp_path / "none.html", "#metric=accuracy&run=1") as page:
        assert "No run of this comparison has a result" in page.inner_text("#answer")
        assert "another data hash" in page.inner_text(".notes.apart")
        assert page.locator("tr.run").count() == 5 and page.is_visible("#drawer")
    data["comparisons"] = []
    data["details"]["base"] = []
    data["runs"]["comparison"] = [None] * 5
    write_page(tmp_path / "nothing.html", data)
    with opened(browser, tmp_path / "nothing.html") as page:
        assert "No runs that could be compared" in page.inner_text("#view")
        assert page.locator("tr.run").count() == 5


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<b>bold</b>",
    "a&amp;b",
    "</script><h1>x",
    "{{ data }}",
    "%{x}$&",
    '"><a href="javascript:alert(1)">x</a>',
    "long " * 20,
]


@pytest.mark.slow
def test_hostile_names_are_text(browser: Any, tmp_path: Path) -> None:
    data = page_kit.payload(18, seed=2, variants=HOSTILE, comparisons=1)
    data["title"] = "<script>alert(2)</script> {{ scripts }}"
    data["comparisons"][0]["notes"] = ["<img src=x onerror=alert(3)>"]
    data["details"]["error"][4] = "<script>alert(4)</script>"
    for figure in data["comparisons"][0]["metrics"][0]["figures"][:1]:
        figure["layout"]["annotations"] = [{"text": f"<b>{HOSTILE[0]}</b>", "x": 0, "y": 0}]
    write_page(tmp_path / "page.html", data)
    with opened(browser, tmp_path / "page.html", "#run=4") as page:
        page.on("dialog", lambda dialog: pytest.fail(f"a script of the data ran: {dialog.message}"))
        assert page.inner_text("h1") == page.title() == data["title"]
        assert "<script>alert(4)</script>" in page.inner_text("#drawer .error")
        page.keyboard.press("Escape")
        page.wait_for_selector("#answer .plot[data-drawn]")
        ticks = page.locator("#answer .plot .ytick text").all_text_contents()
        assert sorted(ticks) == sorted(HOSTILE)
        note = page.locator("#answer .plot .annotation-text").text_content()
        assert note == HOSTILE[0]  # bold, as the figure asked, and nothing but text
        assert page.locator("#answer .plot .annotation-text [style*='bold']").count() == 1
        assert page.locator("ol.headline strong").all_text_contents() == HOSTILE
        assert page.locator(".factors dt").all_text_contents() == HOSTILE
        assert (
            page.locator("main img, main script, h1 script, .plot a[href^=javascript]").count() == 0
        )
