"""Every mistake is one line: where, what is wrong, what is allowed, and the nearest name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gradbench.case.load import load
from gradbench.errors import EXIT, CaseError
from gradbench.strategies import STRATEGIES

Write = Callable[[str], Path]

CLAIM = '[[claim]]\nname = "c"\nsays = "x"\ntest = ">= 1"\n'
CELLS = 'value = { table = "cells", column = "rel_error"'


def mistakes(path: Path, profile: str | None = None, sets: Sequence[str] = ()) -> list[str]:
    """The lines about `path`, without its name."""
    with pytest.raises(CaseError) as caught:
        load(path, profile, sets)
    assert caught.value.exit_code == EXIT.USAGE == 2
    return [line.removeprefix(f"{path}:").removeprefix(" ") for line in caught.value.lines]


def test_five_mistakes_give_five_lines_in_the_order_of_the_file(write: Write) -> None:
    path = write("""
[train]
momentun = 3
learning_rate = "fast"

[measure]
strategies = [
  "reconstruct",
  "aproximate:4",
]
at = [0, 50]

[matrix]
dept = [3]
""")
    assert mistakes(path) == [
        "5: train.momentun: unknown key: allowed are precision, cudnn_benchmark, optimizer, steps, learning_rate, "
        "momentum, weight_decay, warmup, strategies, evaluate_every, evaluate_images, memory_limit; "
        "did you mean 'momentum'?",
        '6: train.learning_rate: must be a number, got "fast"',
        f"9: measure.strategies[1]: unknown strategy 'aproximate': allowed are {', '.join(STRATEGIES)}; did you mean "
        "'approximate'?",
        "13: measure.at: measure.at has 50, beyond train.steps = 0",
        "16: matrix.dept: names no setting: an axis is a setting such as depth, model or train.learning_rate; did you "
        "mean 'depth'?",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[modle]\ndepth = 3", "3: modle: unknown key: allowed are model, data, ... did you mean 'model'?"),
        ("steps = 3", "3: steps: unknown key: ... did you mean 'train.steps'?"),
        ("model = 'hybrid'", '3: model: must be a table, got "hybrid"'),
        ("seeds = 2.5", "3: seeds: must be a whole number, got 2.5"),
        ("seeds = true", "3: seeds: must be a whole number, got true"),
        ("seeds = 0", "3: seeds: must be at least 1, got 0"),
        ("[data]\nflip = 1", "4: data.flip: must be true or false, got 1"),
        ("[train]\nmomentum = 1", "4: train.momentum: must be below 1, got 1"),
        ("[train]\nwarmup = 1.5", "4: train.warmup: must be at most 1, got 1.5"),
        ("[train]\nlearning_rate = inf", "4: train.learning_rate: must be a finite number, got inf"),
        ("[model]\nnegative_slope = 0", "4: model.negative_slope: must be above 0, got 0"),
        ("[model]\nwidth = 30", "4: model.width: must be a multiple of 4, got 30"),
        ("[model]\npooling = 'channel'", '4: model.pooling: must be a list, got "channel"'),
        (
            "[model]\npooling = ['chanel']",
            "4: model.pooling[0]: must be 'channel', 'batch' or 'max', got \"chanel\"; did you mean 'channel'?",
        ),
        ("[model]\nname = 'hybrd'", "4: model.name: unknown model 'hybrd': allowed are ... did you mean 'hybrid'?"),
        ("[data]\nname = 'cifar'", "4: data.name: unknown data set 'cifar': ... did you mean 'cifar10'?"),
        (
            "[measure]\nstrategies = ['approximate']",
            "4: ...strategies[0]: ... needs its bits: allowed are approximate:2",
        ),
        ("[measure]\nstrategies = ['approximate:5']", "4: ...strategies[0]: ... bits '5' is not allowed; allowed are"),
        ("[measure]\nstrategies = ['stored', 'stored']", "4: measure.strategies[1]: 'stored' is listed twice"),
        ("[measure]\nat = [0, 0]", "4: measure.at[1]: 0 is listed twice"),
        ("[measure]\nat = []", "4: measure.at: must be a list or table that is not empty, got []"),
        ("[measure]\nat = [-1]", "4: measure.at[0]: must be at least 0, got -1"),
        (
            "[train]\nstrategies = 'al'",
            "4: train.strategies: must be 'all' or 'none' or a list, ... did you mean 'all'?",
        ),
        ("[train]\nstrategies = ['x']", "4: train.strategies[0]: unknown strategy 'x': allowed are"),
        ("'train.steps' = 3\n[train]\nsteps = 4", "3: train.steps: is given twice"),
        ("matrix = 3", "3: matrix: must be a table, got 3"),
        ("matrix.depth = 3", "3: matrix.depth: must be a list of at least one value, got 3"),
        ("matrix.depth = []", "3: matrix.depth: must be a list of at least one value, got []"),
        ("matrix.depth = [3, 5, 3]", "3: matrix.depth[2]: 3 is listed twice"),
        ("matrix.depth = [3, 'x']", '3: matrix.depth[1]: must be a whole number, got "x"'),
        ("matrix.negative_slope = [0.1, -1]", "3: matrix.negative_slope[1]: must be above 0, got -1"),
        ("matrix.model = ['hybrid', 'laywise']", "3: matrix.model[1]: unknown model ... did you mean 'layerwise'?"),
        ("matrix.pooling = [['channel']]", "3: matrix.pooling[0]: must be a single value"),
        (
            "matrix.strategies = ['all']",
            "3: ...names more than one setting: allowed are train.strategies and measure.st",
        ),
        ("matrix.seed = [1]", "3: matrix.seed: names no setting"),
        (
            'matrix.reference = ["stored"]',
            "3: matrix.reference: 'reference' is a column of the results as well: write measure.reference",
        ),
        ("[matrix]\ndepth = [3]\nmodel.depth = [4]", "5: matrix.model.depth: is the same setting as the axis 'depth'"),
        (
            "[model]\ndepth = 3\n[matrix]\ndepth = [3, 4]",
            "4: model.depth: has no effect, the matrix decides it: change matrix.depth instead",
        ),
        ("[data]\ncrop = 32", "4: data.crop: data.crop = 32 must be below data.image_size = 32"),
        ("[data]\nclasses = 4", "4: data.classes: data.classes = 4, but data set 'digits' has 10"),
        (
            "[data]\nclasses = 10\n[matrix]\ndata = ['cifar10', 'cifar100']",
            "6: matrix.data: data.classes = 10, but data set 'cifar100' has 100",
        ),
        ("[data]\nimage_size = 30", "4: data.image_size: ... = 30 cannot be halved 3 times, ... multiples of 8"),
        ("[data]\nname = 'npz'", '4: data.name: data.name = "npz" needs data.path'),
        ("matrix.data = ['digits', 'npz']", '3: matrix.data: data.name = "npz" needs data.path'),
        ("matrix.train.steps = [0, 5]\nmeasure.at = [5]", "3: matrix.train.steps: ... beyond train.steps = 0"),
        ("profile = 3", "3: profile: must be a table, got 3"),
        ("profile.quick = 3", "3: profile.quick: must be a table, got 3"),
        ("[profile.quick]\ntrain.stps = 3", "4: profile.quick.train.stps: unknown key: ... did you mean 'steps'?"),
        (
            "[profile.quick]\ntitle = 'x'",
            "4: profile.quick.title: cannot be changed here: allowed are model, data, train",
        ),
        ("[profile.quick]\nmatrix.depth = [0]", "4: profile.quick.matrix.depth[0]: must be at least 1, got 0"),
        ("[profile.quick]\nseeds = 'x'", '4: profile.quick.seeds: must be a whole number, got "x"'),
        ("[profile.quick]\ndata.crop = 40", "4: profile.quick.data.crop: data.crop = 40 must be below"),
        ("[[override]]\nset = { seeds = 3 }\nwhen = { seed = 0 }", "4: override[0].set.seeds: cannot be changed here"),
        ("[[override]]\nset = { train.stps = 3 }\nwhen = { seed = 0 }", "4: override[0].set.train.stps: unknown key"),
        ("[[override]]\nset = { train.steps = 3 }", "3: override[0].when: is missing"),
        ("[[override]]\nset = { train.steps = 3 }\nwhen = {}", "5: override[0].when: must be a list or table that is"),
        (
            "matrix.depth = [3]\n[[override]]\nset = { train.steps = 3 }\nwhen = { dept = 3 }",
            "6: override[0].when.dept: unknown axis: allowed are depth, seed; did you mean 'depth'?",
        ),
        (
            "matrix.depth = [3]\n[[override]]\nset = { train.steps = 3 }\nwhen = { depth = [3, 4] }",
            "6: override[0].when.depth: no profile has 4: allowed are 3",
        ),
        (
            "seeds = 2\n[[override]]\nset = { train.steps = 3 }\nwhen = { seed = 2 }",
            "6: override[0].when.seed: no profile has 2: allowed are 0, 1",
        ),
        (
            "matrix.depth = [3]\n[[override]]\nset = { model.depth = 4 }\nwhen = { depth = 3 }",
            "5: override[0].set.model.depth: 'depth' is an axis of the matrix: an override cannot change it",
        ),
        (
            "[[override]]\nwhen = { seed = 0 }\nset = { measure.at = [3] }",
            "5: override[0].set.measure.at: measure.at has 3, beyond train.steps = 0",
        ),
        (
            "matrix.depth = [3]\n[[exclude]]\nwhen = { dept = 3 }",
            "5: exclude[0].when.dept: unknown axis: allowed are depth, seed; did you mean 'depth'?",
        ),
        ("[[exclude]]\nwhen = {}", "4: exclude[0].when: must be a list or table that is not empty"),
        ("[[exclude]]\ndepth = 3\nwhen = { seed = 0 }", "4: exclude[0].depth: unknown key: allowed are when"),
        (
            "seeds = 2\n[[exclude]]\nwhen = { seed = [1, 2] }",
            "5: exclude[0].when.seed: no profile has 2: allowed are 0, 1",
        ),
        ("matrix.depth = [3]\n[[exclude]]\nwhen = { depth = 3 }", "3: matrix: every point is excluded"),
        (
            "matrix.depth = [3, 4]\n[[exclude]]\nwhen = { depth = 3 }\n[profile.p]\nmatrix.depth = [3]",
            "7: profile.p.matrix: every point is excluded",
        ),
        (
            "matrix.depth = [3, 4]\n[[exclude]]\nwhen = { depth = 3 }\n"
            "[[override]]\nwhen = { depth = 3 }\nset = { train.steps = 3 }",
            "7: override[0].when.depth: no profile has 3: allowed are 4",
        ),
        (
            f"matrix.depth = [3, 4]\n[[exclude]]\nwhen = {{ depth = 3, seed = 2 }}\n{CLAIM}{CELLS}, "
            "where = { depth = 3, seed = 2 } }",
            "10: claim[0].value.where: matches no cell of any profile",
        ),
        ("[profile.p]\nexclude = []", "4: profile.p.exclude: cannot be changed here"),
        ("[claim]\nname = 'c'", "3: claim: must be a list, got a table"),
        (
            f"answer = ['c', 'cc']\n{CLAIM}{CELLS} }}",
            "3: answer[1]: no claim is named \"cc\": allowed are c; did you mean 'c'?",
        ),
        ("answer = ['c']", '3: answer[0]: no claim is named "c": allowed are none'),
        (f"answer = ['c', 'c']\n{CLAIM}{CELLS} }}", "3: answer[1]: 'c' is listed twice"),
        (
            CLAIM + "value = { table = 'cell', column = 'rel_error' }",
            "7: claim[0].value.table: must be 'cells', ... got \"cell\"; did you mean 'cells'?",
        ),
        (
            CLAIM + "value = { table = 'cells', column = 'min_snr' }",
            "7: claim[0].value.column: unknown column \"min_snr\" of cells: ... did you mean 'min_snr_db'?",
        ),
        (CLAIM + "value = { table = 'cells', column = 'verdict' }", "7: claim[0].value.within: verdict holds words"),
        (CLAIM + CELLS + ", within = 'share' }", '7: claim[0].value.equals: belongs to within = "share"'),
        (CLAIM + CELLS + ", equals = 3 }", '7: claim[0].value.equals: belongs to within = "share"'),
        (CLAIM + CELLS + ", diverged = 0.1 }", "7: claim[0].value.diverged: belongs to accuracy and loss of cells"),
        (CLAIM + CELLS + ", slope_over = 'depth' }", '7: claim[0].value.slope_over: unknown axis "depth": ... none'),
        (
            "matrix.model = ['hybrid']\n" + CLAIM + CELLS + ", slope_over = 'model' }",
            '8: claim[0].value.slope_over: axis "model" holds words',
        ),
        (CLAIM + CELLS + " }\nacross = 'max'", "8: claim[0].across: is for minus or divided_by"),
        (
            CLAIM + CELLS + " }\n" + CELLS.replace("value", "minus") + ", across = 'min' }\nacross = 'max'",
            '8: claim[0].minus: under across = "max" a claim takes each cell\'s own number',
        ),
        (
            "matrix.depth = [1, 2]\n"
            + CLAIM
            + CELLS
            + " }\n"
            + CELLS.replace("value", "minus")
            + ", where = { depth = 2 } }\nacross = 'max'",
            "9: claim[0].minus.where: depth differs from value.where, so that cells have no pairs",
        ),
        (
            "seeds = 2\n"
            + CLAIM
            + CELLS
            + " }\n"
            + CELLS.replace("value", "divided_by")
            + ", where = { seed = 1 } }\nacross = 'max'",
            "9: claim[0].divided_by.where: seed differs from value.where, so that cells have no pairs",
        ),
        (
            CLAIM + CELLS + ", where = { strategi = 'stored' } }",
            "7: claim[0].value.where.strategi: unknown axis or column: ... did you mean 'strategy'?",
        ),
        (
            CLAIM + CELLS + ", where = { strategy = 'recon' } }",
            '7: claim[0].value.where.strategy: no profile has "recon": allowed are "stored", "reconstruct"; did you',
        ),
        (
            CLAIM + "value = { table = 'gradients', column = 'cosine', where = { step = 9 } }",
            "7: claim[0].value.where.step: no profile has 9: allowed are 0",
        ),
        (
            "matrix.depth = [3, 4]\n" + CLAIM + CELLS + ", where = { depth = [3, 5] } }",
            "8: claim[0].value.where.depth: no profile has 5: allowed are 3, 4",
        ),
        (
            "matrix.depth = [3]\n" + CLAIM + CELLS + ", where = { depth = 3, strategy = 'checkpoint' } }\n"
            "[profile.p]\nmatrix.depth = [4]\nmeasure.strategies = ['checkpoint']",
            "8: claim[0].value.where: matches no cell of any profile",
        ),
        (CLAIM + CELLS + "}\nminus = { table = 'cells' }", "8: claim[0].minus.column: is missing"),
        (CLAIM.replace(">= 1", "about 1") + CELLS + "}", "6: claim[0].test: must be a comparison with a number"),
        (CLAIM.replace(">= 1", ">= 1.2.3") + CELLS + "}", "6: claim[0].test: must be a comparison with a number"),
        (CLAIM.replace('"c"', '"C d"') + CELLS + "}", "4: claim[0].name: must be made of a-z, 0-9 and hyphens"),
        (f"{CLAIM}{CELLS}}}\n" * 2, '9: claim[1].name: "c" names two claims'),
    ],
)
def test_one_mistake_gives_one_line(write: Write, text: str, line: str) -> None:
    (found,) = mistakes(write(text))
    assert _matches(line, found), found


def _matches(pattern: str, line: str) -> bool:
    """Whether `line` begins as `pattern` says, in which `...` is anything."""
    return re.match(".*".join(map(re.escape, pattern.split("..."))), line) is not None


def test_a_misspelt_axis_is_blamed_once(write: Write) -> None:
    path = write(
        "[matrix]\ndept = [3]\n[[override]]\nwhen = { depth = 3 }\nset = { train.steps = 4 }\n"
        + CLAIM
        + CELLS
        + ", where = { depth = 3 } }"
    )
    (found,) = mistakes(path)
    assert found.startswith("4: matrix.dept: names no setting")


def test_a_wrong_value_is_blamed_once(write: Write) -> None:
    path = write(
        "[train]\nsteps = 'many'\n[measure]\nat = [0, 50]\n" + CLAIM + CELLS + ", where = { strategy = 'stored' } }"
    )
    (found,) = mistakes(path)
    assert found == '4: train.steps: must be a whole number, got "many"'


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[train]\nstepz = 50\n[measure]\nat = [0, 50]", "train.stepz"),
        ("[trian]\nsteps = 50\n[measure]\nat = [0, 50]", "trian"),
        (
            f"[measure]\nstrategis = ['checkpoint']\n{CLAIM}{CELLS}, where = {{ strategy = 'checkpoint' }} }}",
            "measure.str",
        ),
        (
            "[[override]]\nwen = { seed = 0 }\nset = { measure.strategies = ['checkpoint'] }\n"
            f"{CLAIM}{CELLS}, where = {{ strategy = 'checkpoint' }} }}",
            "override[0].wen",
        ),
        ("[train]\nstrategies = { all = 1 }", "train.strategies"),
    ],
)
def test_what_follows_from_a_mistake_is_not_another(write: Write, text: str, key: str) -> None:
    (found,) = mistakes(write(text))
    assert found.partition(": ")[2].startswith(key)


def test_what_is_missing_from_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.write_text("", encoding="utf-8")
    assert mistakes(path) == ["schema: is missing", "title: is missing"]


def test_a_misspelt_key_is_not_missing_too(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text("schema = 2\ntitel = 'x'", encoding="utf-8")
    found = mistakes(path)
    assert found[0] == "1: schema: must be 1, got 2"
    assert found[1].startswith("2: titel: unknown key")
    assert len(found) == 2


def test_bad_syntax_has_line_and_column(write: Write) -> None:
    path = write("[train]\nsteps = = 3\n")
    assert mistakes(path) == ["4:9: not valid TOML: Invalid value"]


def test_a_file_that_is_not_text(write: Write) -> None:
    path = write("")
    path.write_bytes(b"title = '\xff'")
    assert mistakes(path) == ["not valid TOML: byte 10 is not UTF-8"]


@pytest.mark.parametrize(
    ("sets", "line"),
    [
        ("train", '--set: must be key=value, got "train"'),
        ("=3", '--set: must be key=value, got "=3"'),
        ("train.stps=3", "--set train.stps: unknown key: ... did you mean 'steps'?"),
        ("depth=3", "--set depth: unknown key: ... did you mean 'model.depth'?"),
        ("seeds=0", "--set seeds: must be at least 1, got 0"),
        ("title=x", "--set title: cannot be changed here: allowed are model, data, train, measure, seeds, matrix"),
        ("measure.at=[1, 'x']", '--set measure.at[1]: must be a whole number, got "x"'),
        ("measure.at=[90]", "--set measure.at: measure.at has 90, beyond train.steps = 0"),
        ("matrix.depth=[0]", "--set matrix.depth[0]: must be at least 1, got 0"),
        ("model.width=16", "--set model.width: has no effect, the matrix decides it: change matrix.width instead"),
    ],
)
def test_mistakes_on_the_command_line(write: Write, sets: str, line: str) -> None:
    (found,) = mistakes(write("matrix.width = [8, 16]"), None, [sets])
    assert _matches(line, found), found


def test_an_unknown_profile_is_answered_with_the_nearest(write: Write) -> None:
    path = write("[profile.quick]\nseeds = 1\n[profile.full]")
    assert mistakes(path, "quik") == [
        "--profile: mine has no profile \"quik\": allowed are quick, full; did you mean 'quick'?"
    ]


def test_mistakes_of_all_profiles_and_of_the_command_line_come_at_once(write: Write) -> None:
    path = write("[profile.a]\nseeds = 0\n[profile.b]\nseeds = 'x'")
    assert [line.split(": must")[0] for line in mistakes(path, "a", ["seeds=-1"])] == [
        "4: profile.a.seeds",
        "6: profile.b.seeds",
        "--set seeds",
    ]
