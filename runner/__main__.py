"""`python -m runner`: the command `runner`."""

from runner.cli import program

if __name__ == "__main__":
    program()
