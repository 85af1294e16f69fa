"""What every test relies on: an interrupt reaches the programs that tests start."""

import contextlib
import signal

# A shell that runs the suite in the background has interrupts ignored, and so would have every child.
with contextlib.suppress(ValueError):  # not the main thread
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
