"""A release's patches: read, checked, applied, and the tree that they give."""
