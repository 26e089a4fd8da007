"""From run folders to a page: statistics, figures and tables that compare the variants."""
