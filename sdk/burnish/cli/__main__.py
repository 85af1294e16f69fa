"""`python -m burnish.cli` is the same as `burnish`."""

from burnish.cli import main

main()
