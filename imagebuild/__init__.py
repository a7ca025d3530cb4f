"""Builds, proves and rolls out Windows master images for virtual desktops on OpenStack."""
