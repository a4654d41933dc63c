"""Modelling files, read and not run: which submodules are called by keyword only."""
