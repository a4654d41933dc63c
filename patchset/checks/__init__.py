"""What patches claim, put to the test."""
