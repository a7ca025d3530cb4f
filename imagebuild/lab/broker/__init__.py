"""The lab's connection broker: Leostream's REST interface over HTTPS for the tool, and a portal of our own for simulated users.

It runs in the services' own environment, so it needs nothing but Python (and the openssl program, for its certificate).
"""
