"""The pages under docs/ as a site: it builds without a warning, and needs no network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import api
import odyssey
from run_kit import ROOT


def test_the_reference_is_that_of_the_docstrings() -> None:
    assert api.PAGE.read_text(encoding="utf-8") == api.page(), "type python docs/api.py"
    for name in odyssey.__all__:
        assert name.startswith("__") or f"\n## odyssey.{name}\n" in api.page()


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_needs_no_network(tmp_path: Path) -> None:
    """A broken link, a page that nothing leads to, or an unknown directive is a warning."""
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    command += ["-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(site)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {p.stem: p.read_text(encoding="utf-8") for p in site.glob("*.html")}
    written = {p.stem for p in (ROOT / "docs").glob("*.md")}
    assert written <= set(pages)
    for name, text in pages.items():
        for tag in re.findall(r"<(?:script|img|iframe|link)\b[^>]*>", text):
            assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", tag), (name, tag)
    assert "In a clone of this repository" in pages["index"]  # the README
    for name in written - {"index"}:
        assert f'href="{name}.html"' in pages["index"], f"the first page does not lead to {name}"
