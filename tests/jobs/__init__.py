"""Whole jobs on fakes, as a person runs them."""
