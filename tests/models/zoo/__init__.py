"""The model zoo: every model type of the installed transformers, small, with each child wrapped in turn."""
