"""`junit.xml`: the night as a CI system reads test results; a suite a case, a test case a strategy and setting."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as xml

from gradbench.nightly.outcome import Outcome

__all__ = ["junit"]

#: What XML 1.0 cannot hold.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(date: str, outcomes: Sequence[Outcome]) -> str:
    """The night as JUnit XML. A regression is a failure, what did not finish an error, no baseline a skip."""
    suites = [_suite(date, one) for one in outcomes]
    root = xml.Element("testsuites", {"name": f"gradbench nightly {date}", **_sums(suites)})
    root.extend(suites)
    xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml.tostring(root, encoding="unicode")}\n'


def _suite(date: str, one: Outcome) -> xml.Element:
    name = f"{one.case}.torch-{one.torch}"
    suite = xml.Element(
        "testsuite", {"name": _clean(name), "timestamp": f"{date}T00:00:00", "time": f"{one.seconds:.1f}"}
    )
    run = _case(suite, name, "run")
    if one.state == "failed" or one.missing:
        lines = one.missing or (one.sentence,)
        _tell(run, "error", one.sentence if one.state == "failed" else f"{len(lines)} did not finish", lines)
    for check in one.checks:
        case = _case(suite, name, check.name)
        if check.regressions:
            _tell(case, "failure", check.regressions[0], check.regressions)
    if one.state != "failed" and not one.baseline:
        _tell(_case(suite, name, "comparison"), "skipped", one.sentence)
    suite.attrib.update(_counts(suite))
    return suite


def _case(suite: xml.Element, name: str, title: str) -> xml.Element:
    return xml.SubElement(suite, "testcase", {"classname": _clean(name), "name": _clean(title)})


def _tell(case: xml.Element, kind: str, message: str, lines: Sequence[str] = ()) -> None:
    xml.SubElement(case, kind, {"message": _clean(message)}).text = _clean("\n".join(lines)) or None


def _counts(suite: xml.Element) -> dict[str, str]:
    kinds = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    return {name: str(sum(1 for _ in suite.iter(tag))) for name, tag in kinds.items()}


def _sums(suites: Sequence[xml.Element]) -> dict[str, str]:
    return {
        name: str(sum(int(suite.attrib[name]) for suite in suites))
        for name in ("tests", "failures", "errors", "skipped")
    }


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
