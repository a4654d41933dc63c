"""The command line's verbs, a file each: its options and what it does."""
