"""`python -m skipfill.cli` is `skipfill`, for launchers of modules: torchrun -m skipfill.cli train ..."""

from skipfill.cli.app import main

main()
