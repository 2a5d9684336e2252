"""The page explains each recorded finding, and what was scanned is what runs."""

import pytest

from tests.hardening import record, subjects

pytestmark = [pytest.mark.unit, pytest.mark.row("S19")]


def test_every_finding_is_explained() -> None:
    counts = {
        subject: {check: count for check, (count, _) in rows.items()}
        for subject, rows in record.explained().items()
    }
    found = {name: each for name, each in record.recorded()["findings"].items() if each}
    assert counts == found, f"{record.PAGE} and {record.RECORD} differ"
    for rows in record.explained().values():
        assert all(len(reason) > 5 for _, reason in rows.values())  # "none" is no reason


def test_all_subjects_were_scanned() -> None:
    assert record.recorded()["findings"].keys() == {
        "files",
        "flags",
        "guest",
        "kubelets",
        "manifests",
        "objects",
    }


def test_flags_and_rights_are_those_that_were_scanned() -> None:
    assert subjects.digest() == record.recorded()["digest"], (
        "flags of upstream's processes, kubelets' configuration or RBAC rules have changed: run"
        " `make scan MONOPOD_SCAN=record`, then explain what is new in {record.PAGE}"
    )
