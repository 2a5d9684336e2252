"""The fake provider keeps the contract."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from monopod.node.provider import MachineProvider
from tests.microvm.fakes import FakeHost, FakeProvider
from tests.provider.contract import Contract, Place

pytestmark = pytest.mark.unit


class Memory(Place):
    def __init__(self) -> None:
        self.host = FakeHost()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[MachineProvider]:
        yield FakeProvider(self.host)

    def kill(self, name: str) -> None:
        self.host.end(name)

    def spoil(self, why: str) -> None:
        self.host.refuses.append(why)

    def fill(self) -> None:
        self.host.room = 0


@pytest.fixture
def place() -> Place:
    return Memory()


class TestFake(Contract):
    pass
