"""Chooses native threads for oslo.service. Importing it is the choice, and it must come before anything else of OpenStack."""

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)
