"""What must not be interrupted in the middle is not, and who interrupted is heard after it."""

import signal

import pytest

from glamor_cli.system.stop_signals import STOP_SIGNALS
from glamor_cli.system.undisturbed import undisturbed


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_waits_for_the_end(number: signal.Signals) -> None:
    done: list[str] = []

    def hear(*_: object) -> None:
        done.append("heard")

    before = signal.signal(number, hear)
    try:
        with undisturbed():
            with undisturbed():
                signal.raise_signal(number)
                done.append("inner")
            done.append("outer")
        assert done == ["inner", "outer", "heard"]
        assert signal.getsignal(number) is hear
    finally:
        signal.signal(number, before)


def test_an_ignored_signal_hides_none_that_is_heard() -> None:
    heard: list[int] = []
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with undisturbed():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
