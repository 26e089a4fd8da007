"""Speed relative to a baseline that is measured in alternation, printed as ratios."""
