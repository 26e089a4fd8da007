"""What the choice of the test items leaves open of a difference."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

from odyssey.report.stats.samples import Interval


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
    def reach(self) -> float:
        """Half the width of the 95% interval, Student's."""
        return float(special.stdtrit(self.items - 1, 0.975)) * self.error

    @property
    def interval(self) -> Interval:
        """The difference with the limits that the items set, by the central limit theorem."""
        return Interval(self.difference, self.difference - self.reach, self.difference + self.reach)

    def sentence(self, unit: str) -> str:
        """In words."""
        what, many = "sequences", f"{self.items:,} sequences"
        if self.segment:
            what, many = "text", f"{self.items:,} segments of {self.segment:,}"
        return (
            f"on other test {what} the difference would be {self.difference:+.3g} ± "
            f"{self.reach:.2g} {unit} ({many})"
        )
