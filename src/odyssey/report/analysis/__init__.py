"""What is computed of runs: comparisons, outcomes, verdicts, notes and tables."""
