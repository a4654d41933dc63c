"""What all tests run with: the contract's markers and table."""

# pytester runs the markers against a made-up PEFT, in tests/wrappers/test_markers.py
pytest_plugins = ["pytester", "tests.contract"]
