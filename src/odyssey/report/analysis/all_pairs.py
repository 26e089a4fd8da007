"""The decisions of every pair of variants, and the groups that they do not tell apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from odyssey.report.analysis.decisions import BETTER, PROMISING, WORSE, Decision, Pair
from odyssey.study.formatting import several

DIFFERENT = (BETTER, PROMISING, WORSE)
MOST_GROUPS = 6  # that a sentence names


@dataclass(frozen=True)
class AllPairs:
    """The decisions of all pairs, corrected together.

    labels: the variants, best first. decisions: of each pair once, the variant that stands earlier
    in `labels` first. search: whether "better" is "promising". missing: why there are none.
    """

    labels: Sequence[str]
    decisions: Mapping[Pair, Decision]
    search: bool = False
    missing: str = ""

    def decision(self, one: str, other: str) -> Decision | None:
        """Of the pair, whichever of them stands first; None without one."""
        return self.decisions.get((one, other), self.decisions.get((other, one)))

    def word(self, one: str, other: str) -> str:
        """What `one` is against `other`; empty where nothing was decided."""
        if (one, other) in self.decisions:
            return self.decisions[one, other].conclusion
        found = self.decisions.get((other, one))
        return "" if found is None else opposite(found.conclusion, self.search)

    def difference(self, one: str, other: str) -> float:
        """The difference of the means, `one` minus `other`; nan where means are not compared."""
        if (one, other) in self.decisions:
            return self.decisions[one, other].difference.value
        found = self.decisions.get((other, one))
        return math.nan if found is None else -found.difference.value

    @property
    def different(self) -> list[Pair]:
        """The pairs that are told apart."""
        return [pair for pair, d in self.decisions.items() if d.conclusion in DIFFERENT]

    @property
    def groups(self) -> list[list[str]]:
        """The largest sets of variants no two of which are told apart, best first."""
        return groups(self.labels, self.different)

    def sentence(self) -> str:
        """How many pairs are told apart, and the groups that are not."""
        if self.missing or not self.decisions:
            return self.missing
        tested = f"{several(len(self.decisions), 'pair')} of variants, a family of its own"
        apart = len(self.different)
        if not apart:
            return f"Of {tested}, none is told apart."
        found = f"Of {tested}, {apart} {'is' if apart == 1 else 'are'} told apart."
        together = [group for group in self.groups if len(group) > 1]
        if not together:
            return f"{found} Every variant is told apart from every other."
        if len(together) > MOST_GROUPS:
            return f"{found} The others form {len(together)} overlapping groups."
        return f"{found} Not told apart: {'; '.join(', '.join(group) for group in together)}."


def opposite(word: str, search: bool) -> str:
    """The word of the second of a pair, from that of the first."""
    if word in (BETTER, PROMISING):
        return WORSE
    if word == WORSE:
        return PROMISING if search else BETTER
    return word


def groups(labels: Sequence[str], different: Iterable[Pair]) -> list[list[str]]:
    """The largest sets of labels that hold no pair of `different`, by their first members.

    Source: H.-P. Piepho, "An algorithm for a letter-based representation of all-pairwise
    comparisons", Journal of Computational and Graphical Statistics 13 (2004) 456-466.
    """
    found = [frozenset(labels)] if labels else []
    for one, other in different:
        split = []
        for group in found:
            both = one in group and other in group
            split += [group - {one}, group - {other}] if both else [group]
        # Of those that lie in another one, nothing is said by themselves.
        unique = list(dict.fromkeys(split))
        found = [group for group in unique if not any(group < other for other in unique)]
    place = {label: i for i, label in enumerate(labels)}
    ordered = [sorted(group, key=place.__getitem__) for group in found]
    return sorted(ordered, key=lambda group: [place[label] for label in group])
