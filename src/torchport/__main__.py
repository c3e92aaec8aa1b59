"""`python -m torchport`."""

from .cli import main

main()
