import logging

from server.supervision import REPEAT_AFTER_S, Faults


def raise_in(faults: Faults, place: str, then=None) -> None:
    with faults.contained(place, then):
        raise ZeroDivisionError("by zero")


def test_an_error_is_logged_with_its_traceback_counted_and_goes_no_further(caplog):
    faults = Faults()
    raise_in(faults, "tick")
    assert faults.counts == {"tick": 1}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "internal error in tick" in caplog.text
    assert "Traceback" in caplog.text and "raise ZeroDivisionError" in caplog.text


def test_repetitions_are_counted_and_logged_now_and_then(caplog):
    now_s = [100.0]
    faults = Faults(lambda: now_s[0])
    for _ in range(50):
        raise_in(faults, "tick")
    raise_in(faults, "mailbox")
    assert len(caplog.records) == 2, "the first of each place"
    now_s[0] += REPEAT_AFTER_S
    raise_in(faults, "tick")
    assert "(49 more since the last report)" in caplog.records[-1].message
    assert faults.counts == {"tick": 51, "mailbox": 1}


def test_what_brings_safety_is_called_after_an_error_only_and_may_fail_itself():
    faults, calls = Faults(), []
    raise_in(faults, "tick", lambda: calls.append("safe"))
    with faults.contained("tick", lambda: calls.append("never")):
        pass
    raise_in(faults, "tick", lambda: 1 / 0)
    assert calls == ["safe"]
    assert faults.counts == {"tick": 3}


def test_an_interrupt_passes():
    try:
        with Faults().contained("tick"):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return
    raise AssertionError("expected the interrupt to pass")
