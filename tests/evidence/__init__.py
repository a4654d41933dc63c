"""Programs that take long and show what the pages state, and in `results` what they have written. pytest collects none of it."""
