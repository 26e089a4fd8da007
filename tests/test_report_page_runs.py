"""The run table of the page, and the tables of the analysis: sorted, filtered, copied."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import page_kit
import random_kit
from odyssey.report.io.collect import collect
from odyssey.report.main import main
from odyssey.report.page.build import write_page
from page_kit import opened
from report_kit import write_study

RUNS = 1009


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, Any]]]:
    """One page for all tests of this file."""
    data = page_kit.payload(RUNS, seed=11, comparisons=1)
    file = tmp_path_factory.mktemp("page") / "many.html"
    write_page(file, data)
    rights = ["clipboard-read", "clipboard-write"]
    with page_kit.chromium() as browser, opened(browser, file, permissions=rights) as page:
        yield page, data


@pytest.fixture
def many(kept: Any) -> tuple[Any, dict[str, Any]]:
    """The page as it is when it is opened, and its data."""
    page, data = kept
    page.evaluate("history.replaceState(null, '', location.pathname)")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    return page, data


def mine(data: dict[str, Any]) -> list[int]:
    return [i for i, place in enumerate(data["runs"]["comparison"]) if place == 0]


def number(cell: Any) -> float | None:
    return None if cell is None else float(cell)


def shown(page: Any) -> list[int]:
    """The runs at the top of the table, as indices."""
    return [int(row.get_attribute("data-run")) for row in page.locator("tr.run").all()[:20]]


def type_in(page: Any, where: str, text: str, expected: list[int]) -> None:
    page.fill(where, text)
    count = f"{len(expected):,} of" if len(expected) >= 10_000 else f"{len(expected)} of"
    page.locator(".counted", has_text=count).wait_for(timeout=30_000)
    assert shown(page) == expected[:20]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "place"), [("valid/nats_per_frame", 4), ("trial", 3), ("optimizer.lr", 9)]
)
def test_numbers_are_sorted_as_numbers_and_the_empty_come_last(
    many: Any, column: str, place: int
) -> None:
    page, data = many
    rows = data["runs"]["rows"]
    filled = [i for i in mine(data) if rows[i][place] is not None]
    empty = [i for i in mine(data) if rows[i][place] is None]
    where = f'.dt-scroll-head th[data-column="{column}"]'
    head = page.locator(where)
    page.locator(".run-scroll").scroll_into_view_if_needed()
    for direction, word in ((False, "ascending"), (True, "descending")):
        head.locator("[role=button]").click()
        page.wait_for_selector(f'{where}[aria-sort="{word}"]')
        order = sorted(filled, key=lambda i: number(rows[i][place]), reverse=direction)
        assert shown(page) == order[:20]
        page.locator(".dt-scroll-body").evaluate("box => box.scrollTop = box.scrollHeight")
        last = (order + empty)[-1]
        page.locator(f'tr.run[data-run="{last}"]').wait_for()
        page.locator(".dt-scroll-body").evaluate("box => box.scrollTop = 0")
    head.locator("[role=button]").click()
    page.wait_for_selector(f"{where}:not([aria-sort])")
    assert shown(page) == mine(data)[:20]


FILTERS = [
    ("state", "!=finished", lambda row: row[2] != "finished"),
    ("state", "!=finished|failed", lambda row: row[2] not in ("finished", "failed")),
    ("state", "failed|missing", lambda row: row[2] in ("failed", "missing")),
    ("variant", "n", lambda row: "n" in row[1]),
    ("variant", "=NP", lambda row: row[1] == "np"),
    ("variant", "!n", lambda row: "n" not in row[1]),
    ("valid/nats_per_frame", "<8.45", lambda row: row[4] is not None and float(row[4]) < 8.45),
    ("valid/nats_per_frame", ">= 9.3", lambda row: row[4] is not None and float(row[4]) >= 9.3),
    ("valid/nats_per_frame", "=inf", lambda row: row[4] == "inf"),
    ("valid/nats_per_frame", "=", lambda row: row[4] is None),
    ("optimizer.lr", "1e-5..0.0001", lambda row: 1e-5 <= row[9] <= 1e-4),
    ("trial", "=7", lambda row: row[3] == 7),
]


@pytest.mark.slow
def test_filters_above_the_columns(many: Any) -> None:
    page, data = many
    rows = data["runs"]["rows"]
    for column, text, keep in FILTERS:
        field = f'[data-filter="{column}"]'
        expected = [i for i in mine(data) if keep(rows[i])]
        assert 0 < len(expected) < len(mine(data)), text
        type_in(page, field, text, expected)
        if (column, text) != FILTERS[-1][:2]:
            page.fill(field, "")
    page.click("text=Clear filters")
    assert shown(page) == mine(data)[:20] and page.input_value(field) == ""
    page.fill('[data-filter="state"]', ">")  # not yet typed in full: no filter
    page.fill('[data-filter="trial"]', "=7")
    type_in(
        page,
        '[data-filter="variant"]',
        "=np",
        [i for i in mine(data) if rows[i][1] == "np" and rows[i][3] == 7],
    )
    page.fill('[data-filter="variant"]', "nobody")
    page.locator(".nothing", has_text="No run is left").wait_for()


@pytest.mark.slow
def test_the_search_looks_at_everything(many: Any) -> None:
    page, data = many
    rows, details = data["runs"]["rows"], data["details"]
    type_in(page, "#search", rows[mine(data)[77]][0], [mine(data)[77]])
    errors = [i for i in mine(data) if details["error"][i]]
    type_in(page, "#search", '"out of PAPER" valueerror', errors)
    units = details["changed"][mine(data)[5]]["model.hidden_size"]
    same = [
        i
        for i in mine(data)
        if str(details["changed"][i]["model.hidden_size"]).startswith(str(units))
    ]
    type_in(page, "#search", f"model.hidden_size={units} ", same)
    plain = [i for i in errors if rows[i][1] != "np" and "np-" not in rows[i][0]]
    type_in(page, "#search", "paper -cell=np", plain)


@pytest.mark.slow
def test_runs_that_were_set_apart_are_in_the_table_of_all(many: Any) -> None:
    page, data = many
    apart = [i for i, place in enumerate(data["runs"]["comparison"]) if place is None]
    assert apart
    assert page.inner_text(".counted") == f"{RUNS - len(apart)} runs"
    page.click("[aria-label=Runs] >> text=All runs")
    assert page.inner_text(".counted") == f"{RUNS} runs"
    page.fill("#search", data["runs"]["rows"][apart[0]][0])
    page.locator(".counted", has_text="1 of").wait_for()
    page.click("tr.run")  # its settings are known without a comparison
    assert page.inner_text("#drawer .settings summary") == "All 3 settings"


@pytest.mark.slow
def test_columns_are_shown_and_hidden(many: Any) -> None:
    page, _ = many
    assert page.locator('.dt-scroll-head th[data-column="device"]').count() == 0
    page.click(".chooser summary")
    page.click(".chooser-list >> text=device")
    page.click(".chooser-list >> text=trial")
    assert page.locator('.dt-scroll-head th[data-column="device"]').count() == 1
    assert page.locator('.dt-scroll-head th[data-column="trial"]').count() == 0
    assert page.locator("tr.run >> nth=0 >> td").last.inner_text() == "cpu"
    page.click(".chooser-list >> text=As at first")
    page.keyboard.press("Escape")
    assert not page.is_visible(".chooser-list")
    assert page.locator(".dt-scroll-head th[data-column]").count() == 10


@pytest.mark.slow
def test_the_table_is_read_with_the_keyboard(many: Any) -> None:
    page, data = many
    order = mine(data)
    assert page.get_attribute(".dt-scroll-body .run-table", "aria-rowcount") == str(len(order) + 2)
    assert page.locator('tr.run[tabindex="0"]').count() == 1
    page.focus('tr.run[tabindex="0"]')
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "End", "Home", "PageDown"):
        page.keyboard.press(key)
    at = int(page.evaluate("document.activeElement.dataset.at"))
    assert at > 3
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.run") == str(order[-1])
    page.keyboard.press("Enter")
    page.wait_for_selector("#drawer:visible")
    assert page.inner_text("#drawer-title") == data["runs"]["rows"][order[-1]][0]
    assert page.is_disabled("[data-step=next]")
    page.click("[data-step=previous]")
    page.locator("#drawer-title", has_text=data["runs"]["rows"][order[-2]][0]).wait_for()
    page.keyboard.press("Escape")
    page.wait_for_selector("#drawer", state="hidden")
    assert page.evaluate("document.activeElement.matches('tr.run')")


@pytest.mark.slow
def test_headings_are_sorted_with_the_keyboard(many: Any) -> None:
    page, data = many
    where = '.dt-scroll-head th[data-column="valid/nats_per_frame"]'
    page.locator(f"{where} [role=button]").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{where}[aria-sort=ascending]")
    rows = data["runs"]["rows"]
    assert number(rows[shown(page)[0]][4]) == min(
        number(rows[i][4]) for i in mine(data) if rows[i][4] is not None
    )
    # Of the two heads that DataTables makes only one is seen, and reached by Tab.
    for what in (".filters input", "thead [role=button][tabindex]"):
        inside = page.locator(f".dt-scroll-body {what}")
        assert not any(inside.nth(i).is_visible() for i in range(inside.count())), what


@pytest.mark.slow
def test_tables_are_sorted_and_copied(many: Any) -> None:
    page, data = many
    table = data["comparisons"][0]["metrics"][0]["tables"][0]
    box = page.locator("[data-key=verdicts]")
    box.scroll_into_view_if_needed()  # tables are sortable once they are near the window
    clip = "navigator.clipboard.readText()"
    box.locator("th", has_text="difference").locator("[role=button]").click()
    box.locator("th[aria-sort=ascending]", has_text="difference").wait_for()
    by_value = sorted(table["rows"], key=lambda row: row[3]["value"])
    assert box.locator("tbody th").all_text_contents() == [row[0] for row in by_value]
    box.locator("th", has_text="mean").locator("[role=button]").click()
    box.locator("th[aria-sort=ascending]", has_text="mean").wait_for()
    means = [number(row[8]) for row in table["rows"]]
    filled = sorted(v for v in means if v is not None)
    cells = box.locator("tbody tr td:last-child").all_text_contents()
    assert cells[len(filled) :] == ["–"] * (len(means) - len(filled))
    box.locator("button", has_text="CSV").click()
    box.locator("button", has_text="Copied").wait_for()
    lines = list(csv.reader(io.StringIO(page.evaluate(clip))))
    assert lines[0][3:6] == ["difference", "difference, low", "difference, high"]
    assert [number(line[-1] or None) for line in lines[1:]][: len(filled)] == filled
    original = {row[0]: row for row in table["rows"]}
    assert all(float(line[4]) == original[line[0]][3]["low"] for line in lines[1:])
    box.locator("button", has_text="LaTeX").click()
    page.wait_for_function(f"{clip}.then(t => t.includes('toprule'))")
    latex = page.evaluate(clip)
    assert "lstm\\_peephole & baseline & 20 & $-$" in latex and latex.count("\\\\\n") == 10
    box.locator("button", has_text="Markdown").click()
    page.wait_for_function(f"{clip}.then(t => t.startsWith('| variant |'))")
    assert page.evaluate(clip).count("\n") == 11


@pytest.mark.slow
def test_the_pointer_names_the_run_of_a_point(kept: Any, tmp_path: Path) -> None:
    """Of a real report: each point's text ends with its run, trial and seed."""
    study = write_study(tmp_path / "s", trials=40, cells=("gru", "lstm"), seed=random_kit.seed())
    assert main([str(study), "--no-figures", "--draws", "100"]) == 0
    runs = {run.name: run for run in collect([study]).runs}
    browser = kept[0].context.browser
    with opened(browser, study / "report/index.html") as page:
        plot = page.locator('[data-key="top"] .plot').first
        plot.scroll_into_view_if_needed()
        page.wait_for_function("el => el.dataset.drawn === 'yes'", arg=plot.element_handle())
        traces = plot.evaluate(
            "el => el.data.map(t => [t.customdata ?? [], t.text ?? [], t.hovertemplate ?? ''])"
        )
    texts = [
        text
        for marks, texts, template in traces
        if "%{text}" in template
        for mark, text in zip(marks, texts, strict=False)
        if isinstance(mark, int)
    ]
    assert len(texts) == 8  # the best tenth of both
    for text in texts:
        run = runs[text.rpartition("<br>")[2].partition(",")[0]]
        assert text.endswith(f"{run.name}, trial {run.trial}, seed {run.seed}")
