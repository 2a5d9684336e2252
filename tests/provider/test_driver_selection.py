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
GVISOR = Candidate("gvisor", 16000)
TCG = Candidate("qemu-tcg", 16000)
KVM = Candidate("qemu-kvm", 16000)
NO_KVM = replace(KVM, unusable="/dev/kvm does not exist")
NO_QEMU = replace(TCG, unusable="install qemu-system-x86")
NO_GVISOR = replace(GVISOR, unusable="it does not start")
WITH_KVM, WITHOUT_KVM = (UML, GVISOR, TCG, KVM), (UML, GVISOR, TCG, NO_KVM)
UML_TCG, BARE = (UML, NO_GVISOR, TCG, NO_KVM), (UML, NO_GVISOR, NO_QEMU, NO_KVM)
_HINT = (
    "; qemu-tcg could, but emulation is no isolation boundary: request it by annotation"
    " monopod.dev/driver, or allow it for all pods with MONOPOD_LOCAL_TCG=true"
)


@pytest.mark.row("S1")
@pytest.mark.parametrize(
    ("milli_cpu", "requested", "host", "driver"),
    [
        (250, "", WITH_KVM, "qemu-kvm"),
        (16000, "", WITH_KVM, "qemu-kvm"),
        (250, "", WITHOUT_KVM, "gvisor"),
        (16000, "", WITHOUT_KVM, "gvisor"),
        (1000, "", UML_TCG, "uml"),
        (1000, "", BARE, "uml"),
        (250, "linux", WITH_KVM, "qemu-kvm"),
        (1000, "linux", WITHOUT_KVM, "uml"),
        (250, "gvisor", WITH_KVM, "gvisor"),
        (250, "uml", WITH_KVM, "uml"),
        (250, "qemu", WITH_KVM, "qemu-kvm"),
        (250, "qemu", WITHOUT_KVM, "qemu-tcg"),
        (250, "qemu-tcg", WITH_KVM, "qemu-tcg"),
        (250, "qemu-kvm", WITH_KVM, "qemu-kvm"),
    ],
)
def test_choice(milli_cpu: int, requested: str, host: tuple[Candidate, ...], driver: str) -> None:
    assert choose(milli_cpu, requested, host).driver == driver
    assert choose(milli_cpu, requested, host, tcg=True).driver == driver


@pytest.mark.row("S1")
@pytest.mark.parametrize("requested", ["", "linux"])
def test_a_machine_runs_under_tcg_only_where_that_is_requested_or_allowed(requested: str) -> None:
    with pytest.raises(SizeUnsupportedError, match=r"uml supports at most 1 vCPU") as refused:
        choose(2000, requested, UML_TCG)
    assert str(refused.value).endswith(_HINT)
    assert choose(2000, requested, UML_TCG, tcg=True).driver == "qemu-tcg"
    only_tcg = (replace(UML, unusable="no ptrace"), NO_GVISOR, TCG, NO_KVM)
    with pytest.raises(DriverUnavailableError) as refused:
        choose(250, requested, only_tcg)
    assert str(refused.value).endswith(_HINT)
    assert choose(250, requested, only_tcg, tcg=True).driver == "qemu-tcg"


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
                "gvisor",
                False,
                "KvmUnavailable",
                "runs under gvisor: qemu-kvm cannot be used on this host: /dev/kvm does not exist",
            ),
        ),
        (
            250,
            "linux",
            WITHOUT_KVM,
            DriverSelection(
                "uml",
                False,
                "KvmUnavailable",
                "runs under uml: a guest with a Linux kernel is needed; qemu-kvm cannot be used on"
                " this host: /dev/kvm does not exist",
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
            " /dev/kvm does not exist; gvisor cannot be used on this host: it does not start; uml"
            " supports at most 1 vCPU per machine, and this one has 4",
        ),
        (
            250,
            "",
            (replace(UML, unusable="no ptrace"),),
            DriverUnavailableError,
            "No driver can be used on this host: qemu-kvm cannot be used on this host: Monopod has"
            " no such driver here; gvisor cannot be used on this host: Monopod has no such driver"
            " here; uml cannot be used on this host: no ptrace",
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
        (WITHOUT_KVM, "gvisor up to 16 vCPU"),
        (UML_TCG, "uml up to 1 vCPU"),
        (BARE, "uml up to 1 vCPU"),
        ((NO_KVM, NO_QEMU), "none: no driver can be used"),
    ],
)
def test_default_drivers_are_described(host: tuple[Candidate, ...], said: str) -> None:
    assert automatic(host) == said


def test_the_description_has_tcg_where_it_is_allowed() -> None:
    assert automatic(UML_TCG, tcg=True) == "uml up to 1 vCPU, then qemu-tcg up to 16 vCPU"


_UNUSABLE = st.sampled_from(["", "", "it is missing"])
_HOSTS = st.tuples(
    *(_UNUSABLE.map(lambda why, of=of: replace(of, unusable=why)) for of in WITH_KVM)
)


@given(
    st.sampled_from([250, 500, 1000, 2000, 4000, 8000, 16000]),
    st.sampled_from(["", *keys.DRIVER_WORDS]),
    _HOSTS,
    st.booleans(),
)
def test_the_chosen_driver_fits_and_matches_the_request(
    milli_cpu: int, requested: str, host: tuple[Candidate, ...], tcg: bool
) -> None:
    able = {
        each.name
        for each in host
        if not each.unusable
        and each.max_milli_cpu >= milli_cpu
        and (requested in ("", "linux", each.name) or each.name.startswith(f"{requested}-"))
        and not (requested == "linux" and each.name == "gvisor")
        and not (requested in ("", "linux") and each.name == "qemu-tcg" and not tcg)
    }
    try:
        choice = choose(milli_cpu, requested, host, tcg=tcg)
    except (DriverUnavailableError, SizeUnsupportedError):
        assert not able
        return
    assert choice.driver in able
    assert choice.hardware == (choice.driver == "qemu-kvm")
    assert choice.hardware or "qemu-kvm" not in able
    if choice.driver == "qemu-tcg" and not requested:
        assert able == {"qemu-tcg"}
