"""Writes the page: template, styles, scripts, libraries and the data in one HTML file.

The libraries (Plotly for figures, DataTables for tables) and the data are stored as gzip in base64
and inflated by the browser (`DecompressionStream`: Chrome 80, Firefox 113, Safari 16.4, or newer),
which brings Plotly from 4.8 to 2.0 MB, DataTables from 0.62 to 0.23 MB and the data of 5,000 runs
from some 10 MB to 2 or 3. A block each, so that the answer is painted before either library is
read, and the learning curves are read when one is asked for.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from odyssey.errors import UserError
from odyssey.io import write_bytes

STYLES = ("base", "parts", "print")
# One scope for all, in this order: what a file needs while it is read stands before it.
SCRIPTS = ("base", "figures", "tables", "runs", "drawer", "page")


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
        "datatables": _datatables(),
        "plotly": _plotly(),
        "data": _packed(_json(data | {"details": details})),
        "curves": _packed(_json(curves)),
    }
    page = (files(__package__) / "template.html").read_text(encoding="utf-8")
    # In one pass: a title that reads like a placeholder stays a title.
    written = re.sub(r"\{\{ (\w+) \}\}", lambda place: parts[place[1]], page).encode("utf-8")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, written, sync=False)
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


@cache
def _datatables() -> str:
    """DataTables and the jQuery it needs, from the installed Python package itables."""
    bundle = files("itables") / "html" / "dt_bundle.js"
    return _packed(plain_script(bundle.read_text(encoding="utf-8")).encode())


def plain_script(bundle: str) -> str:
    """The bundle of itables as a script that leaves `jQuery` in the window.

    It is an ES module, which a page that may fetch nothing cannot import. Raises UserError where
    it is not as it was when this was written, or lacks the part that draws the rows in view alone.
    """
    exports = re.search(r"export\s*\{([^}]*)\};", bundle)
    name = re.search(r"([\w$]+) as jQuery\b", exports[1]) if exports else None
    if exports is None or name is None or "displayBuffer" not in bundle:
        raise UserError(
            "the installed itables does not carry the DataTables that the page needs: type pip "
            'install "itables>=2.9.1,<3"'
        )
    body = f"{bundle[: exports.start()]}window.jQuery={name[1]};{bundle[exports.end() :]}"
    return f"(() => {{{body}}})();"


def _joined(folder: str, names: tuple[str, ...], ending: str) -> str:
    here = files(__package__) / folder
    return "\n".join((here / f"{name}.{ending}").read_text(encoding="utf-8") for name in names)
