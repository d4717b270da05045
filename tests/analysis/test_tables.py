"""Reading a run: types, compression, and sentences for what is missing."""

from __future__ import annotations

import gzip
import json
import lzma
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gradbench.analysis.tables import read_run, read_table
from gradbench.errors import UsageError
from gradbench.results import SCHEMA, TABLES


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one cell whose names are what a reader of CSV may take for something else."""
    for name, table in TABLES.items():
        lead = [] if name == "claims" else ["cell", "model", "depth", "slope", "seed"]
        (tmp_path / table.file).write_text(",".join([*lead, *(column.name for column in table.columns)]) + "\n")
    with (tmp_path / "activations.csv").open("a") as file:
        file.write("012345678901,NA,3,0.2,0,None,0,nan,4,norm,-1,inf,-inf,nan,\n")
    (tmp_path / "manifest.json").write_text(json.dumps({"axes": {"model": ["NA"], "depth": [3], "slope": [0.2]}}))
    return tmp_path


def test_names_stay_names_and_numbers_numbers(run: Path) -> None:
    found = read_run(run)
    assert found.axes == ("model", "depth", "slope")
    (row,) = found.tables["activations"].to_dict("records")
    assert [row[name] for name in ("cell", "model", "strategy", "layer")] == ["012345678901", "NA", "None", "nan"]
    assert [row[name] for name in ("depth", "slope", "position", "block", "snr", "snr_db")] == [
        3, 0.2, 4, -1, math.inf, -math.inf,
    ]  # fmt: skip
    assert math.isnan(row["alpha"])
    assert math.isnan(row["flipped_gates"])


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_tables_are_read(run: Path, ending: str, pack: object) -> None:
    plain = run / "activations.csv"
    (run / f"activations.csv{ending}").write_bytes(pack(plain.read_bytes()))  # type: ignore[operator]
    before = read_table(run, "activations", ["model", "depth", "slope"])
    plain.unlink()
    assert read_table(run, "activations", ["model", "depth", "slope"]).equals(before)


def test_a_missing_column_is_named(run: Path) -> None:
    text = (run / "cells.csv").read_text()
    (run / "cells.csv").write_text(text.replace("noise_ratio", "noise", 1))
    with pytest.raises(UsageError, match=r"cells\.csv: column 'noise_ratio' is missing"):
        read_run(run)


def test_a_column_newer_than_the_run_is_absent(run: Path) -> None:
    text = (run / "cells.csv").read_text()
    (run / "cells.csv").write_text(text.replace("repeat_error", "unknown", 1))
    with pytest.raises(UsageError, match=r"cells\.csv: column 'repeat_error' is missing"):
        read_table(run, "cells", ["model", "depth", "slope"])
    older = read_table(run, "cells", ["model", "depth", "slope"], schema=1)
    assert older["repeat_error"].isna().all()
    assert older["repeat_error"].dtype == "float64"


def test_a_missing_file_is_named(run: Path) -> None:
    (run / "training.csv").unlink()
    with pytest.raises(UsageError, match=r"training\.csv is missing"):
        read_run(run)


def test_a_wrong_field_is_named(run: Path) -> None:
    with (run / "activations.csv").open("a") as file:
        file.write("012345678902,a,3,0.2,zero,r,0,l,4,norm,-1,1,1,1,\n")
    with pytest.raises(UsageError, match=r"activations\.csv: .*zero"):
        read_run(run)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not JSON"), ("[]", "names no axes"), ("{}", "names no axes"), (None, "not the folder")]
)
def test_a_manifest_that_is_none(run: Path, text: str | None, message: str) -> None:
    if text is None:
        (run / "manifest.json").unlink()
    else:
        (run / "manifest.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_run(run)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        ("cells.csv", lambda text: b"", "it is empty"),
        ("gradients.csv", lambda text: text[:-4], "its last line is cut off"),
        ("cells.csv", lambda text: b"\xff\xfe\x00" + text, "it cannot be read and may be damaged"),
        ("training.csv.gz", lambda text: gzip.compress(text)[:-9], "it cannot be read and may be damaged"),
        ("training.csv.xz", lambda text: lzma.compress(text)[:-9], "it cannot be read and may be damaged"),
        ("training.csv.gz", lambda text: b"plain" + text, "it cannot be read and may be damaged"),
        ("training.csv.xz", lambda text: b"plain" + text, "it cannot be read and may be damaged"),
        (
            "activations.csv",
            lambda text: text + text.splitlines(True)[1],
            "row 2: 012345678901, None, 0, nan has a row",
        ),
    ],
)
def test_a_damaged_table_is_one_sentence(run: Path, name: str, damage: Callable[[bytes], bytes], sentence: str) -> None:
    plain = run / name.removesuffix(".gz").removesuffix(".xz")
    text = plain.read_bytes()
    plain.unlink()
    (run / name).write_bytes(damage(text))
    with pytest.raises(UsageError, match=f"{re.escape(str(run / name))}: {sentence}"):
        read_run(run)


def test_a_word_that_nobody_knows_is_named(run: Path) -> None:
    header = (run / "cells.csv").read_text().strip().split(",")
    row = {"cell": "c", "model": "NA", "depth": "3", "slope": "0.2", "seed": "0", "strategy": "s", "status": "fine"}
    (run / "cells.csv").write_text(f"{','.join(header)}\n{','.join(row.get(name, '') for name in header)}\n")
    with pytest.raises(UsageError, match=r"cells\.csv: row 1: status 'fine' is none of ok, diverged, oom"):
        read_run(run)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"axes": 5}, "it names no axes"),
        ({"schema": "x"}, "schema 'x' is not a whole number"),
        (
            {"schema": SCHEMA + 1},
            f"written by a later gradbench, in schema {SCHEMA + 1}; this one reads up to {SCHEMA}",
        ),
        ({"settings": None}, "settings is no table"),
        ({"environment": []}, "environment is no table"),
    ],
)
def test_a_manifest_that_cannot_be_is_one_sentence(run: Path, entries: dict[str, object], sentence: str) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | entries))
    with pytest.raises(UsageError, match=sentence):
        read_run(run)
