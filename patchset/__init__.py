"""The patch set's tool: a PEP 517 build backend and ``python -m patchset``."""
