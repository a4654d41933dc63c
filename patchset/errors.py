"""The exceptions that users see as a one-line message."""


class PatchsetError(Exception):
    """Something a user can act on; the message says what is wrong and what to do."""


class Unavailable(PatchsetError):
    """An sdist is not here, and cannot be downloaded."""
