"""A model of Windows for the stand-in guest: one module a subject, all state in one JSON file and one folder tree."""
