"""The gate keeps what is measured alone alone, and starves nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradbench.runner.gate import Gate, gates_of
from gradbench.runner.pool import Pool, Task


def _events(folder: Path, tasks: list[tuple[str, str, float]]) -> list[str]:
    """Run (name, kind, seconds) each in a process; the lines that they wrote, in order."""
    gate, log = Gate(folder), folder / "log"
    log.touch()
    pool = Pool(len(tasks), 1)
    calls = [
        Task(name, "fake_cells:hold", (gate, kind, str(log), name, seconds), folder / f"{name}.log")
        for name, kind, seconds in tasks
    ]
    outcomes = list(pool.run(calls, lambda name, text: None, lambda: False))
    assert [outcome.status for outcome in outcomes] == ["ok"] * len(tasks)
    return log.read_text().splitlines()


def test_one_alone_is_alone(tmp_path: Path) -> None:
    kinds = {f"{kind}{n}": kind for n in range(3) for kind in ("shared", "exclusive")}
    events = _events(tmp_path, [(name, kind, 0.05) for name, kind in kinds.items()])
    inside: set[str] = set()
    for event in events:
        what, name = event.split()
        if what == "in":
            inside.add(name)
            assert len(inside) == 1 or all(kinds[other] == "shared" for other in inside)
        elif what == "out":
            inside.remove(name)


def test_one_alone_on_a_device_holds_nobody_off_another(tmp_path: Path) -> None:
    log = tmp_path / "log"
    gates = gates_of(["cuda:0", "cuda:1"], tmp_path)
    calls = [
        Task(name, "fake_cells:hold", (gate, "exclusive", str(log), name, 1.0), tmp_path / f"{name}.log")
        for name, gate in gates.items()
    ]
    assert [one.status for one in Pool(2, 1).run(calls, lambda name, text: None, lambda: False)] == ["ok", "ok"]
    events = [line.split()[0] for line in log.read_text().splitlines() if "asks" not in line]
    assert events == ["in", "in", "out", "out"]


def test_several_share(tmp_path: Path) -> None:
    events = [event for event in _events(tmp_path, [(name, "shared", 1.0) for name in "ab"]) if "asks" not in event]
    assert [event.split()[0] for event in events] == ["in", "in", "out", "out"]


def test_whoever_waits_to_be_alone_is_not_overtaken(tmp_path: Path) -> None:
    """Processes enter again and again, so that the room is never empty; who wants to be alone still gets in."""
    gate, log = Gate(tmp_path), tmp_path / "log"
    crowd = [f"crowd{n}" for n in range(4)]
    calls = [Task(name, "fake_crowd:crowd", (gate, str(log), name), tmp_path / f"{name}.log") for name in crowd]
    calls.append(Task("alone", "fake_crowd:alone", (gate, str(log), crowd), tmp_path / "alone.log"))
    outcomes = list(Pool(5, 1).run(calls, lambda name, text: None, lambda: False))
    assert {outcome.name: outcome.result for outcome in outcomes} == {"alone": None, **dict.fromkeys(crowd, True)}


def test_those_inside_can_give_way(tmp_path: Path) -> None:
    gate, log = Gate(tmp_path), tmp_path / "log"
    inside = [f"generous{n}" for n in range(2)]
    calls = [Task(name, "fake_crowd:generous", (gate, str(log), name), tmp_path / f"{name}.log") for name in inside]
    calls.append(Task("alone", "fake_crowd:alone", (gate, str(log), inside), tmp_path / "alone.log"))
    results = {one.name: one.result for one in Pool(3, 1).run(calls, lambda name, text: None, lambda: False)}
    assert results == {"alone": None, **{key: [True, True, True] for key in inside}}


def test_there_is_nobody_to_give_way_to(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    finished: list[str] = []
    with gate.shared():
        gate.give_way(lambda: finished.append("needlessly"))
    gate.give_way(lambda: finished.append("outside"))
    assert not finished


def test_the_locks_of_a_killed_process_are_free(tmp_path: Path) -> None:
    gate, log = Gate(tmp_path), tmp_path / "log"
    heard: list[str] = []
    call = Task("killed", "fake_crowd:hold_and_say", (gate,), tmp_path / "killed.log")
    assert not list(Pool(1, 1).run([call], lambda name, text: heard.append(text), lambda: "inside" in heard))
    assert _events(tmp_path, [("next", "exclusive", 0.0)]) == ["asks next", "in next", "out next"]
    assert log.exists()


@pytest.mark.parametrize("outer", ["shared", "exclusive"])
@pytest.mark.parametrize("inner", ["shared", "exclusive"])
def test_entering_twice_is_refused_instead_of_waiting_for_oneself(tmp_path: Path, outer: str, inner: str) -> None:
    gate = Gate(tmp_path)
    with getattr(gate, outer)(), pytest.raises(RuntimeError, match="not reentrant"), getattr(gate, inner)():
        pass
    with gate.exclusive():
        pass
