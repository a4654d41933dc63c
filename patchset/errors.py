"""The one exception that users see as a one-line message."""


class PatchsetError(Exception):
    """Something a user can act on; the message says what is wrong and what to do."""
