"""Pools of desktops, without sockets and without waiting."""
