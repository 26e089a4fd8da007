"""The figures of an analysis, each twice from the same numbers: Plotly and matplotlib."""
