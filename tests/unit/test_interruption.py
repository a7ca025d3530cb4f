"""A request to end becomes what Ctrl-C is, so the clean-up is the same; afterwards the process is as it was."""

import signal

import pytest

from imagebuild.interruption import signals_as_interrupt


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_interrupts_the_work_and_lets_it_clean_up(number: signal.Signals) -> None:
    cleaned = []
    with pytest.raises(KeyboardInterrupt), signals_as_interrupt():
        try:
            signal.raise_signal(number)
        finally:
            cleaned.append(number)
    assert cleaned == [number]


@pytest.mark.parametrize("ending", [None, KeyboardInterrupt, ValueError])
def test_the_old_handlers_come_back(ending: type[BaseException] | None) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    if ending is None:
        with signals_as_interrupt():
            assert signal.getsignal(signal.SIGTERM) != before[0]
    else:
        with pytest.raises(ending), signals_as_interrupt():
            raise ending
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
