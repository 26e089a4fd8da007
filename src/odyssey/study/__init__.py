"""Studies: many runs, compared and searched, resumed and never lost."""
