"""The folder of reports as a folder of pages: what is there, what is not, and what a second build leaves."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from click.testing import CliRunner

from gradbench.cli.main import cli
from gradbench.errors import EXIT, UsageError
from gradbench.site.build import build_site

MEGABYTE = 1_000_000


def test_every_run_case_and_comparison_has_a_page(pages: dict[str, Any], synthetic: SimpleNamespace) -> None:
    assert set(pages) == {
        "index.html",
        *(f"cases/{case}.html" for case in ("steady", "worse", "lone", synthetic.HOSTILE)),
        *(f"runs/steady/run-{number}.html" for number in (1, 2, 3)),
        *(f"runs/worse/run-{number}.html" for number in (1, 2)),
        "runs/lone/reference.html",
        f"runs/{synthetic.HOSTILE}/run #1 & <u>.html",
        "compare/steady/run-2..run-3.html",  # the run before
        "compare/steady/run-1..run-3.html",  # the newest of either PyTorch
        "compare/worse/run-1..run-2.html",  # the baseline
        "torch/steady.html",
    }


def test_every_link_leads_to_a_page_and_a_place_on_it(pages: dict[str, Any], site: Path) -> None:
    links = 0
    for page in pages.values():
        for url in page.links:
            parts = urlsplit(url)
            assert not parts.scheme
            assert not parts.netloc
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path.resolve()
            assert target.is_file(), f"{page.path}: {url}"
            assert target.is_relative_to(site.resolve())
            if parts.fragment and not parts.fragment.startswith("cell-"):  # these are ids that the script knows
                assert unquote(parts.fragment) in pages[str(target.relative_to(site.resolve()))].ids
            links += 1
    assert links > 100


def test_pages_are_small_and_share_their_scripts(pages: dict[str, Any], site: Path) -> None:
    for page in pages.values():
        assert page.path.stat().st_size < 1.5 * MEGABYTE
        assert "vegaEmbed=" not in page.path.read_text(encoding="utf-8")
    assert {path.name for path in (site / "scripts").iterdir()} == {"vega.js", "page.js"}


def test_names_are_text_and_nothing_else(pages: dict[str, Any], synthetic: SimpleNamespace) -> None:
    for page in pages.values():
        assert not {"img", "em", "iframe", "u"} & set(page.tags)
        assert not {name for name in page.attributes if name.startswith("on")}
        scripts = [url for url in page.links if url.endswith(".js")]
        assert page.tags.count("script") - len(scripts) <= 1  # the charts' data
    assert synthetic.HOSTILE in pages["index.html"].text
    assert "Steady <b>case</b>" in pages["index.html"].text
    assert "looked at <each> layer" in pages["cases/worse.html"].text


def test_the_first_page_says_first_what_wants_a_look(pages: dict[str, Any], synthetic: SimpleNamespace) -> None:
    page = pages["index.html"]
    assert "3 cases: 1 with a regression, 2 to look at" in page.text
    cases = [one.removeprefix("case-") for one in page.ids if one.startswith("case-")]
    assert cases == ["worse", synthetic.HOSTILE, "steady"]
    # Of the invented claims two are held, one is not, one is undecided and one was not measured.
    assert page.text.count("2 of 3 claims held, 1 undecided, 1 not measured") == 3
    assert re.search(r"incomplete\s+odd &", page.text)
    assert re.search(r"1 claim not held\s+Steady", page.text)


def test_nights_link_to_the_runs_that_are_left(pages: dict[str, Any]) -> None:
    page = pages["index.html"]
    assert page.text.index("2026-10-26") < page.text.index("2026-10-25")
    assert "regression <u>at night</u>" in page.text
    assert not [url for url in page.links if "gone" in url]


def test_a_comparison_says_what_regressed(pages: dict[str, Any]) -> None:
    text = pages["compare/worse/run-1..run-2.html"].text
    assert "1 regression" in text
    assert "1.5 times" in text
    assert "Nothing that may move a number." in text


def test_a_comparison_of_versions_says_what_differs(pages: dict[str, Any]) -> None:
    text = pages["compare/steady/run-1..run-3.html"].text
    assert re.search(r"torch\s+2\.9\.1\s+2\.13\.0", text)
    assert "only the gates were applied" in text


def test_the_same_reports_make_the_same_bytes(small: Path) -> None:
    for out in ("a", "b"):
        build_site(small, small.with_name(out))
    files = [path.relative_to(small.with_name("a")) for path in small.with_name("a").rglob("*") if path.is_file()]
    assert len(files) == 6
    for file in files:
        assert (small.with_name("a") / file).read_bytes() == (small.with_name("b") / file).read_bytes()


@pytest.mark.usefixtures("plain_run_pages")
def test_pages_of_runs_that_are_gone_go_and_other_files_stay(small: Path, synthetic: SimpleNamespace) -> None:
    out = small.with_name("out")
    other = synthetic.copy_run(small / "one" / "run-1", "run-2", 1)
    build_site(small, out)
    (out / "CNAME").write_text("example.org", encoding="utf-8")
    assert (out / "compare/one/run-1..run-2.html").is_file()
    shutil.rmtree(other)
    assert build_site(small, out).pages == 3
    assert {str(path.relative_to(out)) for path in out.rglob("*.html")} == {
        "index.html",
        "cases/one.html",
        "runs/one/run-1.html",
    }
    assert (out / "CNAME").is_file()


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_folder_says_how_to_begin(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "reports").mkdir()
    index = build_site(tmp_path / "reports", tmp_path / "site").index.read_text(encoding="utf-8")
    assert "No run yet" in index
    assert "gradbench run --case" in index


@pytest.mark.usefixtures("plain_run_pages")
def test_a_run_that_cannot_be_read_is_named_and_the_others_stand(small: Path, synthetic: SimpleNamespace) -> None:
    broken = synthetic.copy_run(small / "one" / "run-1", "run-0", -1)
    (broken / "cells.csv").unlink()
    site = build_site(small, small.with_name("out"))
    index = site.index.read_text(encoding="utf-8")
    assert "Could not be read" in index
    assert "run-0: cells.csv is missing" in index
    assert site.pages == 3


@pytest.mark.usefixtures("plain_run_pages")
def test_two_chosen_runs_get_a_page_wherever_they_lie(small: Path, synthetic: SimpleNamespace) -> None:
    far = synthetic.add_run(small.parent, "elsewhere", "run-1", 5, case="one")
    out = small.with_name("out")
    result = CliRunner().invoke(
        cli, ["site", "--reports", str(small), "--out", str(out), "--compare", "one/latest", str(far)]
    )
    assert result.exit_code == EXIT.USAGE  # there is no `latest` in the invented folder
    result = CliRunner().invoke(
        cli, ["site", "--reports", str(small), "--out", str(out), "--compare", str(small / "one/run-1"), str(far)]
    )
    assert result.exit_code == EXIT.OK, result.output
    page = Path(result.output.strip())
    assert page == out / "compare/one/run-1..run-1-2.html"
    assert "Identical" in page.read_text(encoding="utf-8")
    assert (out / "runs/one/run-1-2.html").is_file()


@pytest.mark.usefixtures("plain_run_pages")
def test_runs_of_two_cases_are_refused_before_anything_is_written(small: Path, synthetic: SimpleNamespace) -> None:
    other = synthetic.add_run(small, "two", "run-1", 1)
    with pytest.raises(UsageError, match="compare runs of one case"):
        build_site(small, small.with_name("out"), (str(small / "one" / "run-1"), str(other)))
    assert not list(small.with_name("out").rglob("*.html"))


def test_a_file_in_the_place_of_the_site_is_refused(small: Path) -> None:
    result = CliRunner().invoke(cli, ["site", "--reports", str(small), "--out", str(small / "one/run-1/cells.csv")])
    assert result.exit_code == EXIT.USAGE
    assert "is a file" in result.output


@pytest.mark.usefixtures("plain_run_pages")
def test_a_damaged_night_is_named(small: Path) -> None:
    night = small / "nightly" / "2026-10-01"
    night.mkdir(parents=True)
    (night / "nightly.json").write_text(json.dumps({"cases": []}), encoding="utf-8")
    with pytest.raises(UsageError, match=r"nightly.json: damaged \('date'\)"):
        build_site(small, small.with_name("out"))
