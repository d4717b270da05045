"""`gradbench doctor`: what this machine has, and what to do about what it lacks."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import click

from gradbench.errors import EXIT, GradbenchError

__all__ = ["command"]

_OLDEST_TORCH = (2, 9)
_PYTHONS = ((3, 11), (3, 13))
_REPORT_PACKAGES = ("altair", "jinja2", "pandas", "vl_convert")
_LOW_DISK_BYTES = 2**30


@dataclass(frozen=True)
class Finding:
    """One line: whether it is well, what was found or what to do, and whether the quick profile needs it."""

    ok: bool
    text: str
    needed: bool = True


@click.command(short_help="Check this machine.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reports"),
    show_default=True,
    metavar="DIR",
    help="The folder for reports that is checked.",
)
@click.pass_context
def command(ctx: click.Context, out: Path) -> None:
    """Check this machine: each line is ok, or !! and what to do.

    The exit code is 0 if a quick profile can run here, else 4. Nothing is downloaded or changed.
    """
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("Python", _python),
        ("torch", _torch),
        ("torchvision", _torchvision),
        ("GPU", _gpu),
        ("determinism", _determinism),
        ("digits", _digits),
        ("images", _images),
        ("reports", lambda: _reports(out)),
        ("packages", _packages),
    ]
    findings = []
    for name, check in checks:
        for finding in check():
            findings.append(finding)
            mark = (
                click.style("ok", fg="green")
                if finding.ok
                else click.style("!!", fg="red" if finding.needed else "yellow")
            )
            click.echo(f"{mark} {name:<12} {finding.text}")
    runs = all(finding.ok for finding in findings if finding.needed)
    click.echo("A quick profile can run here." if runs else "No case can run here until the lines with !! are mended.")
    ctx.exit(EXIT.OK if runs else EXIT.ENVIRONMENT)


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    oldest, newest = (f"{major}.{minor}" for major, minor in _PYTHONS)
    if _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]:
        yield Finding(True, version)
    else:
        yield Finding(
            False, f"{version}: supported are {oldest} to {newest}", needed=sys.version_info[:2] < _PYTHONS[0]
        )


def _torch() -> Iterator[Finding]:
    oldest = ".".join(map(str, _OLDEST_TORCH))
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding(False, f"cannot be imported ({error}): pip install 'torch>={oldest}'")
        return
    found = tuple(map(int, re.findall(r"\d+", torch.__version__)[:2]))
    if found < _OLDEST_TORCH:
        yield Finding(False, f"{torch.__version__} is older than {oldest}: pip install -U torch torchvision")
    else:
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
        yield Finding(True, f"{torch.__version__}, {built}, {torch.get_num_threads()} threads")


def _torchvision() -> Iterator[Finding]:
    """It is needed only to download data sets."""
    try:
        torchvision = importlib.import_module("torchvision")
        wanted = [need for need in requires("torchvision") or [] if re.match(r"torch\b(?!-)", need)]
        torch = importlib.import_module("torch")
    except (ImportError, OSError, RuntimeError, AttributeError, PackageNotFoundError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield Finding(False, f"cannot be imported ({reason}); only downloads of data sets need it: {_INSTALL}", False)
        return
    pinned = re.search(r"==\s*([\d.]+)", wanted[0]) if wanted else None
    if pinned and pinned[1] != torch.__version__.partition("+")[0]:
        text = f"{torchvision.__version__} belongs to torch {pinned[1]}, not {torch.__version__}: {_INSTALL}"
        yield Finding(False, text, needed=False)
    else:
        yield Finding(True, torchvision.__version__)


_INSTALL = "pip install -U torch torchvision"


def _gpu() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError):
        return
    if not torch.cuda.is_available():
        yield Finding(
            False, "none: quick profiles run on the CPU; full profiles need a GPU and its driver", needed=False
        )
        return
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    for index, gpu in enumerate(gpus):
        place = f"cuda:{index}: " if len(gpus) > 1 else ""
        yield Finding(True, f"{place}{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, driver {_driver()}")
    if len({gpu.name for gpu in gpus}) > 1:
        text = "they differ in kind, and so may the numbers of a run on all of them: choose with --device cuda:N"
        yield Finding(False, text, needed=False)


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        answer = []
    return answer[0] if answer else "unknown"


def _determinism() -> Iterator[Finding]:
    try:
        import torch

        from gradbench.measure.precision import use_plain_float32
    except (ImportError, OSError):
        return
    use_plain_float32()
    cudnn = torch.backends.cudnn
    if cudnn.deterministic and not cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32:
        yield Finding(True, "cuDNN deterministic, TF32 off")
    else:
        yield Finding(False, "cuDNN or TF32 cannot be switched: unset NVIDIA_TF32_OVERRIDE and TORCH_ALLOW_TF32_*")


def _digits() -> Iterator[Finding]:
    try:
        import torch

        from gradbench.case.schema import Data
        from gradbench.data.digits import load

        images = load(Data(name="digits"), torch.device("cpu"), seed=0)
    except (ImportError, OSError, ValueError, GradbenchError) as error:
        yield Finding(False, f"cannot be read ({error}): pip install --force-reinstall --no-deps gradbench")
    else:
        yield Finding(True, f"{len(images.x_train)} images to train on, {len(images.x_test)} to test")


def _images() -> Iterator[Finding]:
    """The data sets that are downloaded."""
    from gradbench.case.schema import Data
    from gradbench.data.downloaded import location
    from gradbench.data.published import PUBLISHED

    files = {name: location(Data(name=name)) for name in PUBLISHED}
    here = [name for name, path in files.items() if path.is_file()]
    lacking = [name for name in files if name not in here]
    text = f"{next(iter(files.values())).parent} has {', '.join(here) or 'none that are downloaded'}"
    if lacking:
        text += f"; the first run that needs {' or '.join(lacking)} downloads it"
    yield Finding(bool(here), text if here else f"{text}; or set GRADBENCH_DATA to their folder", needed=False)


def _reports(out: Path) -> Iterator[Finding]:
    folder = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"gradbench")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding(False, f"{out}: {(error.strerror or str(error)).lower()}; choose another folder with --out")
        return
    room = f"{out}: {free / 2**30:.1f} GiB free"
    yield (
        Finding(True, room) if free >= _LOW_DISK_BYTES else Finding(False, f"{room}: make room, or choose --out", False)
    )


def _packages() -> Iterator[Finding]:
    missing = []
    for package in _REPORT_PACKAGES:
        try:
            importlib.import_module(package)
        except (ImportError, OSError) as error:
            missing.append(f"{package} ({error})")
    if missing:
        yield Finding(False, f"reports need {', '.join(missing)}: pip install --force-reinstall gradbench")
    else:
        yield Finding(True, ", ".join(_REPORT_PACKAGES))
