"""Odyssey: a recurrent cell is written once, as its paper prints it; the rest is derived."""
