"""The `skipfill` program; and `python -m skipfill.cli`, for launchers of modules: torchrun -m skipfill.cli train ..."""

from __future__ import annotations

from skipfill.cli.signals import end_on_signals


def main() -> None:
    """Run the command line and end the process with its exit code."""
    end_on_signals()  # before the rest is imported, which takes a while
    from skipfill.cli import app

    app.main()


if __name__ == "__main__":
    main()
