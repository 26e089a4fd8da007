"""Names of text encodings, as `task.encoding` takes them.

Without NumPy, so that a wrong one is refused before anything slow is imported.
"""

from __future__ import annotations

import codecs

from odyssey.errors import UserError


def encoding_name(encoding: str) -> str:
    """Python's own name of a text encoding. Raises UserError where there is none."""
    try:
        codec = codecs.lookup(encoding)
        "".encode(encoding)  # LookupError for codecs such as base64, which are not of texts
    except (LookupError, UnicodeError, ValueError):
        raise UserError(
            f"task.encoding={encoding} is not an encoding that Python knows: type one such as "
            "utf-8, utf-16, cp1252, latin-1, shift_jis or gb18030"
        ) from None
    return codec.name


def check_encoding(encoding: str | None) -> list[str]:
    """One sentence where `task.encoding` is none that Python knows."""
    try:
        if encoding is not None:
            encoding_name(encoding)
    except UserError as error:
        return list(error.messages)
    return []
