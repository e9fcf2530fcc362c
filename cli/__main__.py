"""The `skipfill` program; and `python -m skipfill.cli`, for launchers of modules: torchrun -m skipfill.cli train ..."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback, while there is nothing yet to clean up
    from skipfill.cli.terminal.streams import prepare_streams

    prepare_streams()
    from skipfill.cli.signals import end_on_signals

    end_on_signals()  # before the rest is imported, which takes a while
    from skipfill.cli import app

    app.main()


if __name__ == "__main__":
    main()
