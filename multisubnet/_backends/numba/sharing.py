"""The rule by which threads share work: functions of numbers, without a clock or memory.

pool.py compiles these functions and stores what they learn. Times are in nanoseconds. docs/cpu.md
has the measurements.
"""

from __future__ import annotations

LEAST_SHARED = 50_000  # the least work that is shared with helpers that are awake
LONG = 20_000_000  # work for which helpers are used despite earlier losses
SOON = 150_000  # the longest gap between calls in quick succession
IN_A_ROW = 4  # calls in quick succession after which more are expected
ALONE_IN_A_ROW = 63  # calls after pauses that go alone, like the one before, without a decision
LEAST_LOSS = 50_000  # a call with helpers that loses this much makes the next ones go alone
MOST_LOSSES = 6  # the most losses that are counted
LONGEST_ALONE = 100_000_000
_LEAST_BALANCE = -2_000  # what waking may cost on average


def learn(known, measured):
    """Move a learned time towards a measurement; outliers count for little."""
    return known + (min(measured, 4 * known) - known) // 8


def learn_least(known, measured):
    """Move a learned time towards the smallest measurement, the undisturbed one."""
    if known == 0:
        return measured
    step = min(measured, 4 * known) - known
    return known + (step // 2 if step < 0 else step // 16)


def count_worth_waking(left, cost, sleepers):
    """Return how many sleeping helpers to wake for the remaining work.

    `cost` is the time to wake one helper, until it arrives.
    """
    return min(sleepers, left // (2 * cost + 1))


def pays(balance):
    """Return whether waking helpers saves time, given the balance of savings so far."""
    return balance >= _LEAST_BALANCE


def settle(balance, saved):
    """Return the balance after waking helpers saved some time, or lost it."""
    return balance + (max(min(saved, LEAST_LOSS), -LEAST_LOSS) - balance) // 4


def forget(balance, calls):
    """Return the balance after calls that woke no helper; waking is tried again after a while."""
    return balance - calls * balance // 128


def least_spacing(time):
    """Return the least time from the beginning of a call to that of the next, after a pause."""
    return 2 * (time + SOON)


def count_soon(in_a_row, gap):
    """Return the number of calls in quick succession, including one after such a gap."""
    return min(in_a_row + 1, IN_A_ROW) if gap < SOON else 0


def rest_after(loss, losses):
    """Return how long to go alone after a loss that follows `losses` recent ones."""
    return min(loss << losses, LONGEST_ALONE)


def count_losses(losses, taken, alone):
    """Return the number of recent losses, including a call of that duration with helpers.

    A call that helpers shorten by a quarter cancels a loss.
    """
    if taken - alone > LEAST_LOSS:
        return min(losses + 1, MOST_LOSSES)
    if losses > 0 and 4 * taken < 3 * alone:
        return losses - 1
    return losses
