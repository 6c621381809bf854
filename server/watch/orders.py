"""The operator's orders: hold or record a simulator, choose or refuse a person, aim at a target.

Orders by HTTP and by Socket.IO are both checked here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from server.simulator import Simulator

LARGEST_NUMBER = 10**9


class OrderError(ValueError):
    """An order that can't be obeyed; `expected` says what was expected.

    `is_understood`: the order was well-formed, but the simulator, person or target that it names does not exist.
    """

    def __init__(self, expected: str, is_understood: bool) -> None:
        super().__init__(f"expected {expected}")
        self.expected, self.is_understood = expected, is_understood


@dataclass(frozen=True)
class Order:
    """A kind of order. Its argument is an object with the simulator's name and a value.

    Args:
        key: key of the value in the argument.
        values: describes the allowed values, for errors.
        is_allowed: whether a value is allowed.
        do: carries out the order.
        names_person: whether a value is the number of a person, who must be tracked by the simulator.
    """

    key: str
    values: str
    is_allowed: Callable[[object], bool]
    do: Callable[[Simulator, Any], None]
    names_person: bool = False

    def obey(self, argument: object, simulator_of: Callable[[object], Simulator | None]) -> None:
        """Check an order and obey it.

        Args:
            argument: as received.
            simulator_of: finds a simulator by its name.

        Raises:
            OrderError: if it can't be obeyed; then nothing has been changed.
        """
        if not isinstance(argument, dict) or self.key not in argument or not self.is_allowed(argument[self.key]):
            raise OrderError(f'{{"simulator": its name, "{self.key}": {self.values}}}', is_understood=False)
        value = argument[self.key]
        simulator = simulator_of(argument.get("simulator"))
        if simulator is None:
            raise OrderError("a connected simulator", is_understood=True)
        if self.names_person and value is not None and not simulator.tracks(value):
            raise OrderError("a person tracked by this simulator", is_understood=True)
        self.do(simulator, value)


def switch_order(key: str, do: Callable[[Simulator, bool], None]) -> Order:
    """An order to begin (true) or to end (false) an action."""
    return Order(key, "true or false", lambda value: isinstance(value, bool), do)


def choose_order(do: Callable[[Simulator, int | None], None]) -> Order:
    """An order about a person, or about nobody (null)."""
    return Order("person", "a number or null", lambda value: value is None or _is_number(value), do, names_person=True)


def refuse_order(do: Callable[[Simulator, int], None]) -> Order:
    """An order about a person."""
    return Order("person", "a number", _is_number, do, names_person=True)


def target_order(do: Callable[[Simulator, str], None], targets: Callable[[], Sequence[str]]) -> Order:
    """An order about a target of the network.

    Args:
        do: carries out the order.
        targets: returns the names of the network's present targets.
    """

    def aim_at(simulator: Simulator, name: str) -> None:
        if name not in targets():
            raise OrderError(f"a target of the network ({', '.join(targets())})", is_understood=True)
        do(simulator, name)

    return Order("target", "the name of a target", lambda value: isinstance(value, str), aim_at)


def _is_number(value: object) -> bool:
    return type(value) is int and 1 <= value <= LARGEST_NUMBER  # a bool is an int, too
