"""What the choice of the test items leaves open of a difference."""

from __future__ import annotations

from dataclasses import dataclass

from odyssey.report.stats.samples import Interval

Z = 1.959963984540054  # the normal quantile of 97.5%


@dataclass(frozen=True)
class ItemsError:
    """The difference of two variants, averaged over pairs of runs, over the test items.

    error: its standard error from the items alone, with the seeds as they are: what it would vary
        by if other items of the same kind had been the test set
    """

    difference: float
    error: float
    items: int  # in all splits together
    pairs: int
    segment: int  # length of a segment of a text; 0 where items are sequences

    @property
    def interval(self) -> Interval:
        """The difference with the limits that the items set, by the central limit theorem."""
        reach = Z * self.error
        return Interval(self.difference, self.difference - reach, self.difference + reach)

    def sentence(self, unit: str) -> str:
        """In words."""
        what, many = "sequences", f"{self.items:,} sequences"
        if self.segment:
            what, many = "text", f"{self.items:,} segments of {self.segment:,}"
        return (
            f"on other test {what} the difference would be {self.difference:+.3g} ± "
            f"{Z * self.error:.2g} {unit} ({many})"
        )
