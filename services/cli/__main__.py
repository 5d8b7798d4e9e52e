"""`python -m services.cli`: the command line where its script is not on PATH."""

from services.cli.main import main

main()
