"""The life of one cell's process: call the target, send its result or why there is none, end."""

from __future__ import annotations

import faulthandler
import importlib
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gradbench.errors import GradbenchError
from gradbench.files import plain
from gradbench.measure.out_of_memory import is_out_of_memory, out_of_memory_in_short

__all__ = ["load_target", "main"]


def main(connection: Connection, log: str | None, threads: int, target: str, arguments: tuple[Any, ...]) -> None:
    """Call `target` ("package.module:function") with `arguments` and `say`, and send what becomes of it.

    Messages are tuples: ("say", text) any number of times, then ("result", JSON text) or ("failed", status, reason,
    error), the last being the exception if it is for the user and None otherwise. What is printed goes to the file
    `log`; without one it goes where the parent's does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches us too, but the parent decides
    _use_default_start_method()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        if log is not None:
            _write_to(log)
        function = load_target(target)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        result = function(*arguments, say=lambda text: connection.send(("say", str(text))))
        connection.send(("result", json.dumps(result, default=plain)))
    except GradbenchError as error:
        connection.send(("failed", "error", " ".join(str(error).split()), error))
    except Exception as error:
        if log is not None:
            traceback.print_exc()
        connection.send(("failed", "oom" if is_out_of_memory(error) else "error", _reason(error), None))
    sys.stderr.flush()
    os._exit(0)  # without the exit handlers of CUDA and of threads that the cell may have left


def load_target(target: str) -> Any:
    """What "package.module:function" names."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _write_to(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    faulthandler.enable()  # after a SIGSEGV the log says where


def _use_default_start_method() -> None:
    """Let the cell's code start processes as in any script, not from the server that this one was forked from.

    Where the default is to fork, a lock that such code makes (a progress bar has one) has no name either: nothing of it
    is left to be cleaned up, and warned of, when this process is killed.
    """
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)


def _end_with_parent() -> None:
    """End this process when the one that asked for the run is gone, even by SIGKILL: its end of a pipe closes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def _reason(error: Exception) -> str:
    """Type, text and innermost place of `error`, in one line."""
    place = ""
    if frames := traceback.extract_tb(error.__traceback__):
        place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
    text = out_of_memory_in_short(error) if is_out_of_memory(error) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{place}" if text else f"{type(error).__name__}{place}"
