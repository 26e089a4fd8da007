"""Sphinx makes a site of these pages: `sphinx-build -W --keep-going docs site`.

Sphinx, and not mkdocs-material, which gets security fixes alone since the end of 2025. The site
needs no network: Furo brings its fonts and scripts.
"""

from __future__ import annotations

import re
from pathlib import Path

from odyssey import __version__

project = "Odyssey"
version = release = __version__
html_title = f"Odyssey {__version__}"
html_theme = "furo"
html_theme_options = {"sidebar_hide_name": False}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["site", "**/.ipynb_checkpoints"]
ROOT = Path(__file__).parents[1]


def _readme(app: object, page: str, source: list[str]) -> None:
    """Put the README into the first page, with its links seen from here."""
    if page == "index":
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        source[0] = source[0].replace("README", re.sub(r"\]\(docs/", "](", text), 1)
    # What lies outside docs/ is not on the site: its name stays, as code.
    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\((\.\./[^)]+|CONTRIBUTING\.md)\)", r"`\2`", source[0])


def setup(app: object) -> None:
    app.connect("source-read", _readme)  # type: ignore[attr-defined]
