"""Orders of an operator: which are obeyed, and which are refused with which message."""

import pytest
from support.road import a_simulator
from support.seen import seen, sighting

from server.watch.orders import LARGEST_NUMBER, OrderError, choose_order, refuse_order, switch_order, target_order


class Operator:
    """Has one simulator, which tracks person 1, and notes the orders that are carried out."""

    def __init__(self) -> None:
        self.done: list[tuple] = []
        self.simulator = a_simulator()
        self.simulator.session.take(seen(0.0, sighting()))

    def orders(self, kind, *arguments, value) -> None:
        order = kind(*arguments, lambda simulator, value: self.done.append((simulator, value)))
        argument = {"simulator": "drone", order.key: value}
        order.obey(argument, {"drone": self.simulator}.get)


@pytest.mark.parametrize(
    ("kind", "values"),
    [((switch_order, "is_held"), (True, False)), ((choose_order,), (1, None)), ((refuse_order,), (1,))],
)
def test_an_order_is_obeyed(kind, values):
    operator = Operator()
    for value in values:
        operator.orders(*kind, value=value)
    assert operator.done == [(operator.simulator, value) for value in values]


@pytest.mark.parametrize("kind", [(switch_order, "is_held"), (choose_order,), (refuse_order,)])
@pytest.mark.parametrize("value", ["1", 1.0, 0, -1, LARGEST_NUMBER + 1, 10**300, float("nan"), [1], {}])
def test_a_value_of_another_kind_is_not_understood(kind, value):
    operator = Operator()
    with pytest.raises(OrderError, match="its name") as caught:
        operator.orders(*kind, value=value)
    assert not caught.value.is_understood
    assert operator.done == []


@pytest.mark.parametrize(("kind", "value"), [(choose_order, True), (refuse_order, True), (refuse_order, None)])
def test_a_person_is_named_by_a_number(kind, value):
    with pytest.raises(OrderError, match='"person": a number'):
        Operator().orders(kind, value=value)


@pytest.mark.parametrize("argument", [None, [], "drone", {}, {"simulator": "drone"}, {"person": 1}])
def test_an_order_without_all_of_its_fields_is_refused(argument):
    """If a key is forgotten, the order must not silently do something else."""
    with pytest.raises(OrderError):
        choose_order(lambda *_: pytest.fail("done")).obey(argument, lambda _: None)


def test_a_person_must_be_tracked_by_that_simulator():
    for kind in (choose_order, refuse_order):
        with pytest.raises(OrderError, match="expected a person tracked by this simulator") as caught:
            Operator().orders(kind, value=2)
        assert caught.value.is_understood


def test_a_target_must_be_one_of_the_network_in_use():
    operator, targets = Operator(), ["hero", "dog"]
    order = target_order(lambda simulator, name: operator.done.append((simulator, name)), lambda: targets)
    order.obey({"simulator": "drone", "target": "dog"}, {"drone": operator.simulator}.get)
    targets.remove("dog")
    for value, words, is_understood in (
        ("dog", "a target of the network (hero)", True),
        (1, '"target": the name of a target', False),
        (None, '"target": the name of a target', False),
    ):
        with pytest.raises(OrderError) as caught:
            order.obey({"simulator": "drone", "target": value}, {"drone": operator.simulator}.get)
        assert words in str(caught.value)
        assert caught.value.is_understood is is_understood
    assert operator.done == [(operator.simulator, "dog")]
