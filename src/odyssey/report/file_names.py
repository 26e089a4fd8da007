"""Names for files, of labels that may hold anything."""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST = 80


def file_names(labels: Sequence[str]) -> list[str]:
    """A name of plain letters for each label, no two alike, also where case does not count.

    A label of letters, digits and `_.=-` is its own name; no name is a path or hidden.
    """
    found: list[str] = []
    taken: set[str] = set()
    for label in labels:
        first = re.sub(r"[^A-Za-z0-9_.=-]+", "-", label).strip(".-")[:LONGEST] or "unnamed"
        name, number = first, 2
        while name.lower() in taken:
            name, number = f"{first}-{number}", number + 1
        taken.add(name.lower())
        found.append(name)
    return found
