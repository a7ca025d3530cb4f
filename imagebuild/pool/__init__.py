"""Pools of desktops: what a pool is, how it stands, and how it is moved to another image without touching a user."""
