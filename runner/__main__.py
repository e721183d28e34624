"""`python -m runner`: the command `runner`."""

import os
import sys

if __name__ == "__main__":
    # Python puts the current folder first, where a file called yaml.py, say, would take the place of a library.
    if not sys.flags.safe_path and sys.path[0] == os.getcwd():  # noqa: PTH109 (pathlib is not needed for this)
        del sys.path[0]

    from runner.cli import program

    program()
