"""What goes to upstream and what comes from there: a series on a new release, a patch as a pull request."""
