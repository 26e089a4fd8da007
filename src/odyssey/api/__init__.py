"""Odyssey as a library: configurations, runs and studies as objects. Public names are `odyssey`'s.

No module here loads torch, pandas or matplotlib before an object needs it.
"""
