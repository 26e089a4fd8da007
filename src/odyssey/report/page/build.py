"""Writes the page: template, styles, scripts, Plotly and the data in one HTML file.

Plotly and the data are stored as gzip in base64 and inflated by the browser
(`DecompressionStream`: Chrome 80, Firefox 113, Safari 16.4, or newer), which brings Plotly from
4.8 to 2.0 MB and the data of 5,000 runs from some 10 MB to 2 or 3. Three blocks, so that the
answer stands before Plotly is there, and the learning curves are read when one is asked for.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import os
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

STYLES = ("base", "layout", "answer", "tables", "figures", "runs", "drawer", "print")
# One scope for all, in this order: what a file needs at once stands before it.
SCRIPTS = (
    "dom",
    "format",
    "inflate",
    "state",
    "theme",
    "copy",
    "switches",
    "markup",
    "figures",
    "tables",
    "answer",
    "filter",
    "columns",
    "runs",
    "rows",
    "settings",
    "curve",
    "drawer",
    "sections",
    "print",
    "main",
)


def write_page(file: Path, payload: dict[str, Any]) -> int:
    """Write the page of a report and return its size in bytes.

    payload: plain values as JSON has them; a number that is not finite is None, "inf" or "-inf".
    Raises ValueError where it holds nan or an infinity, which JSON has no word for. The file is
    replaced as a whole: a reader never sees half of it.
    """
    data = {key: value for key, value in payload.items() if key != "details"}
    details = dict(payload["details"])
    curves = details.pop("curves")
    parts = {
        "title": html.escape(str(payload["title"])),
        "styles": _joined("styles", STYLES, "css"),
        "scripts": _joined("scripts", SCRIPTS, "js"),
        "plotly": _plotly(),
        "data": _packed(_json(data | {"details": details})),
        "curves": _packed(_json(curves)),
    }
    page = (files(__package__) / "template.html").read_text(encoding="utf-8")
    # In one pass: a title that reads like a placeholder stays a title.
    written = re.sub(r"\{\{ (\w+) \}\}", lambda place: parts[place[1]], page).encode("utf-8")
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(written)
    os.replace(temporary, file)
    return len(written)


def _json(value: Any) -> bytes:
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", errors="replace")  # half a surrogate pair has no place in UTF-8


def _packed(content: bytes) -> str:
    """Gzip in base64, which no HTML parser can take for markup; the same bytes every time."""
    return base64.b64encode(gzip.compress(content, compresslevel=9, mtime=0)).decode("ascii")


@cache
def _plotly() -> str:
    """Plotly's own script, from the installed Python package."""
    return _packed((files("plotly") / "package_data" / "plotly.min.js").read_bytes())


def _joined(folder: str, names: tuple[str, ...], ending: str) -> str:
    here = files(__package__) / folder
    return "\n".join((here / f"{name}.{ending}").read_text(encoding="utf-8") for name in names)
