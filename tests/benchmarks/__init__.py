"""Timings that are taken by hand: they compare, and decide nothing in CI."""
