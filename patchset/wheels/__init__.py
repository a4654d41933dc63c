"""From a patched tree to packages: what the backend's hooks do."""
