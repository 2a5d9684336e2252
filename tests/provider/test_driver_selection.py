"""The choice of a driver: a table of hosts and requests, and invariants of every choice."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.api import keys
from monopod.node.provider import DriverSelection, DriverUnavailableError, SizeUnsupportedError
from monopod.node.provider.driver_selection import Candidate, automatic, choose

pytestmark = pytest.mark.unit

UML = Candidate("uml", 1000)
TCG = Candidate("qemu-tcg", 16000)
KVM = Candidate("qemu-kvm", 16000)
NO_KVM = replace(KVM, unusable="/dev/kvm does not exist")
NO_QEMU = replace(TCG, unusable="install qemu-system-x86")
WITH_KVM, WITHOUT_KVM, BARE = (UML, TCG, KVM), (UML, TCG, NO_KVM), (UML, NO_QEMU, NO_KVM)


@pytest.mark.row("S1")
@pytest.mark.parametrize(
    ("milli_cpu", "requested", "host", "driver"),
    [
        (250, "", WITH_KVM, "qemu-kvm"),
        (16000, "", WITH_KVM, "qemu-kvm"),
        (250, "", WITHOUT_KVM, "uml"),
        (1000, "", WITHOUT_KVM, "uml"),
        (2000, "", WITHOUT_KVM, "qemu-tcg"),
        (1000, "", BARE, "uml"),
        (250, "", (replace(UML, unusable="no ptrace"), TCG, NO_KVM), "qemu-tcg"),
        (250, "uml", WITH_KVM, "uml"),
        (250, "qemu", WITH_KVM, "qemu-kvm"),
        (250, "qemu", WITHOUT_KVM, "qemu-tcg"),
        (250, "qemu-tcg", WITH_KVM, "qemu-tcg"),
        (250, "qemu-kvm", WITH_KVM, "qemu-kvm"),
    ],
)
def test_choice(milli_cpu: int, requested: str, host: tuple[Candidate, ...], driver: str) -> None:
    assert choose(milli_cpu, requested, host).driver == driver


@pytest.mark.parametrize(
    ("milli_cpu", "requested", "host", "expected"),
    [
        (
            250,
            "",
            WITH_KVM,
            DriverSelection(
                "qemu-kvm",
                True,
                "KvmWorks",
                "runs under qemu-kvm: hardware virtualisation works on this host",
            ),
        ),
        (
            2000,
            "",
            WITHOUT_KVM,
            DriverSelection(
                "qemu-tcg",
                False,
                "KvmUnavailable",
                "runs under qemu-tcg: qemu-kvm cannot be used on this host: /dev/kvm does not"
                " exist; uml supports at most 1 vCPU per machine, and this one has 2",
            ),
        ),
        (
            250,
            "uml",
            WITH_KVM,
            DriverSelection(
                "uml",
                False,
                "DriverRequested",
                "runs under uml: the pod or its profile requests uml",
            ),
        ),
        (
            250,
            "qemu",
            WITHOUT_KVM,
            DriverSelection(
                "qemu-tcg",
                False,
                "KvmUnavailable",
                "runs under qemu-tcg: the pod or its profile requests qemu; qemu-kvm cannot be"
                " used on this host: /dev/kvm does not exist",
            ),
        ),
    ],
)
def test_the_reason(
    milli_cpu: int, requested: str, host: tuple[Candidate, ...], expected: DriverSelection
) -> None:
    assert choose(milli_cpu, requested, host) == expected


@pytest.mark.parametrize(
    ("milli_cpu", "requested", "host", "error", "text"),
    [
        (
            250,
            "qemu-kvm",
            WITHOUT_KVM,
            DriverUnavailableError,
            "Requested driver qemu-kvm is unavailable: qemu-kvm cannot be used on this host:"
            " /dev/kvm does not exist",
        ),
        (
            250,
            "qemu",
            BARE,
            DriverUnavailableError,
            "Requested driver qemu is unavailable: qemu-kvm cannot be used on this host:"
            " /dev/kvm does not exist; qemu-tcg cannot be used on this host: install"
            " qemu-system-x86",
        ),
        (
            2000,
            "uml",
            WITH_KVM,
            SizeUnsupportedError,
            "This host cannot run a machine of 2 vCPU under driver uml: uml supports"
            " at most 1 vCPU per machine, and this one has 2",
        ),
        (
            4000,
            "",
            BARE,
            SizeUnsupportedError,
            "This host cannot run a machine of 4 vCPU: qemu-kvm cannot be used on this host:"
            " /dev/kvm does not exist; uml supports at most 1 vCPU per machine, and this one has 4;"
            " qemu-tcg cannot be used on this host: install qemu-system-x86",
        ),
        (
            250,
            "",
            (replace(UML, unusable="no ptrace"),),
            DriverUnavailableError,
            "No driver can be used on this host: qemu-kvm cannot be used on this host: Monopod has"
            " no such driver here; uml cannot be used on this host: no ptrace; qemu-tcg cannot be"
            " used on this host: Monopod has no such driver here",
        ),
    ],
)
def test_refusals(
    milli_cpu: int,
    requested: str,
    host: tuple[Candidate, ...],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error) as refused:
        choose(milli_cpu, requested, host)
    assert str(refused.value) == text


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (WITH_KVM, "qemu-kvm up to 16 vCPU"),
        (WITHOUT_KVM, "uml up to 1 vCPU, then qemu-tcg up to 16 vCPU"),
        (BARE, "uml up to 1 vCPU"),
        ((NO_KVM, NO_QEMU), "none: no driver can be used"),
    ],
)
def test_default_drivers_are_described(host: tuple[Candidate, ...], said: str) -> None:
    assert automatic(host) == said


_UNUSABLE = st.sampled_from(["", "", "it is missing"])
_HOSTS = st.tuples(
    *(_UNUSABLE.map(lambda why, of=of: replace(of, unusable=why)) for of in WITH_KVM)
)


@given(
    st.sampled_from([250, 500, 1000, 2000, 4000, 8000, 16000]),
    st.sampled_from(["", *keys.DRIVER_WORDS]),
    _HOSTS,
)
def test_the_chosen_driver_fits_and_matches_the_request(
    milli_cpu: int, requested: str, host: tuple[Candidate, ...]
) -> None:
    able = {
        each.name
        for each in host
        if not each.unusable
        and each.max_milli_cpu >= milli_cpu
        and (requested in ("", each.name) or each.name.startswith(f"{requested}-"))
    }
    try:
        choice = choose(milli_cpu, requested, host)
    except (DriverUnavailableError, SizeUnsupportedError):
        assert not able
        return
    assert choice.driver in able
    assert choice.hardware == (choice.driver == "qemu-kvm")
    assert choice.hardware or "qemu-kvm" not in able
