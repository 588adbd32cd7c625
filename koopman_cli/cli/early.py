"""Ctrl-C and SIGTERM in the first moments, before there is anything to tidy up.

Imports of the interpreter's own small modules only: what comes before them is not heard.
"""

import os
import signal

#: Hint of an error after which nothing is left to go on with.
AGAIN = "nothing half-written was left behind; run it again"

#: What an interruption is called, by the exit code that tells of it.
STOPPED = {130: "interrupted", 143: "terminated"}


def listen() -> None:
    """End at once on a signal, unless those who started us had it ignored.

    An exception would travel through imports, some of which turn it into another one.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(number: int, frame: object) -> None:
    code = 128 + number
    try:
        os.write(2, f"Error: {STOPPED[code]}\nHint: {AGAIN}\n".encode())
    finally:
        # Nothing is open yet that would have to be closed.
        os._exit(code)
