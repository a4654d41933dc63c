"""Where upstream's sdists come from: the configured index, the download, the verified files and what is in them."""
