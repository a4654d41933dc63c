"""A series as git commits, and back to patch files."""
