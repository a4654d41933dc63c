"""Upstream's own test suite as the judge: run on stock and on patched PEFT and compared test by test.

``python -m tests.evidence.upstream 0.19.1`` runs and compares everything, ``--around`` the tests around our change. Results are
kept on disk, test by test: what was stopped goes on where it was, and stock's results serve every later comparison.
"""
