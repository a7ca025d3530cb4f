"""A real, small OpenStack on this machine, and the stand-in guest that runs in it."""
