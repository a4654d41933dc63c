"""A model-based test of PEFT's training wrappers: random models, random operations, and a plain reference.

Nothing here was written against the patches. What is expected comes from the forward contract (DESIGN, section 5) and
from how stock behaves where it is right:

- `trees`: small random models, as data, and the modules that they are built into;
- `reference`: each adapter's weights in plain dictionaries, and the unwrapped model run with them;
- `subject`: the installed `peft`, told to do the same;
- `machine`: the operations, and what has to agree after each;
- `releases`: where releases of stock differ on purpose.

`python -m tests.oracle --help` runs many sequences and counts what differs; `test_oracle.py` runs a few of them.
"""
