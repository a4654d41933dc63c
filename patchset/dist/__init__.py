"""Packages in a folder: built, read, listed in an index, pinned by lockers."""
