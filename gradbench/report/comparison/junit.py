"""A comparison as JUnit's XML, which continuous integration shows: a test case for a gate, strategy and setting."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from xml.etree import ElementTree

from gradbench.compare.comparison import Comparison
from gradbench.compare.match import label

__all__ = ["junit"]

#: What XML 1.0 cannot hold, escaped or not.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(comparison: Comparison) -> str:
    """The comparison as JUnit: a failure is a regression, an error a missing row, skipped what has too few pairs."""
    case = str(comparison.new.manifest.get("case", ""))
    suite = ElementTree.Element("testsuite", name=f"gradbench compare {case}")
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("base", comparison.base.folder), ("new", comparison.new.folder)):
        ElementTree.SubElement(properties, "property", name=name, value=_text(value))
    for test in comparison.tests[comparison.tests["outcome"] != "not tested"].to_dict("records"):
        entry = _entry(suite, f"{case}.{test['strategy'] or 'claims'}", _name(test))
        if test["outcome"] == "regression":
            ElementTree.SubElement(entry, "failure", message=_text(test["says"]), type="regression")
        elif test["outcome"] == "too few pairs":
            ElementTree.SubElement(entry, "skipped", message=_text(test["says"] or "too few pairs for a test"))
    for missing in comparison.coverage.missing:
        entry = _entry(suite, f"{case}.coverage", missing)
        ElementTree.SubElement(entry, "error", message="the base has it, the new run has not", type="missing")
    outcomes = Counter(child.tag for entry in suite.iter("testcase") for child in entry)
    counts = {"tests": len(suite.findall("testcase")), "failures": outcomes["failure"], "errors": outcomes["error"]}
    for name, count in {**counts, "skipped": outcomes["skipped"]}.items():
        suite.set(name, str(count))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _entry(suite: ElementTree.Element, classname: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=_text(classname), name=_text(name))


def _name(test: dict[Any, Any]) -> str:
    """What was looked at, and where: "verdict at hybrid depth=3", "rel_error at all settings in block0.weight"."""
    if test["check"] == "claim":
        return str(test["parameter"])
    where = label(test["setting"])
    single = f" in {test['parameter']}" if test["view"] == "single" else ""
    return f"{test['check']} at {where or 'all settings'}{single}"


def _text(value: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", value)
