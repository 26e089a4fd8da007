"""Speed, always against something: interleaved, medians, ratios."""
