"""Strict stand-ins for a cloud and a guest, in memory: what is not modelled raises. tests/contract holds them against the real ones."""
