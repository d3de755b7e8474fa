"""The rule by which the CPU engine shares work among threads: its decisions, and what it learns.

Tests set the time, and the time that a helper takes, by hand; no threads run.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from multisubnet._backends.numba import pool, sharing, threads

KIND = 7
US = 1000  # nanoseconds
ARRIVAL, WAKE_COST = 40 * US, 10 * US


class Machine:
    """A pool whose one helper sleeps, or watches; and a clock."""

    def __init__(self):
        self.clock = np.array([10**15])
        self.pool = threads._Pool()
        self.pool[pool.CLOCK] = self.clock.ctypes.data
        self.is_awake = False
        self.rest, self.questions = None, 0

    def passes(self, nanoseconds):
        self.clock += nanoseconds

    def shares(self, kind=KIND):
        """Return whether a call of a kind is to ask the helper."""
        return self.answer(kind) > 0

    def answer(self, kind=KIND):
        """Return the pool's answer to a call of a kind."""
        self.pool[pool.ARRIVAL], self.pool[pool.WAKE_COST] = ARRIVAL, WAKE_COST
        self.pool[pool.SLEEPERS] = not self.is_awake
        return pool.compile_call_up()(self.pool.address, 1, kind)

    def works(self, *pieces, kind=KIND, helped=0):
        """Do pieces that take so many nanoseconds each, offered to a helper, who takes some."""
        self.pool[pool.WAKE_COST] = WAKE_COST
        self.pool[pool.SLEEPERS] = 0

        def work(index):
            self.passes(pieces[index])
            if index == 0 and helped:
                self.pool[pool.SLOTS + pool.TICKET] -= (1 << 48) + (helped << 24)
                self.pool[pool.SLOTS + pool.DONE] += helped

        run, function = pool.compile_run_pieces(), pool.compile_python_piece()
        run(self.pool.address, function, id(work), len(pieces), 1 | kind << 16)

    def calls(self, *pieces, after=10**9, helped=0):
        """Return whether a call shares its work, which it does, `after` the call before."""
        self.passes(after)
        answer, now = 0, int(self.clock[0])
        if not (self.rest and self.rest.covers(now)):
            answer = self.answer()
            self.rest = threads._Rest(-answer, now) if answer < 0 else None
            self.questions += 1
        shared = answer > 0
        if shared:
            self.works(*pieces, helped=helped)
        else:
            self.passes(sum(pieces))
        return shared

    def learned(self, kind=KIND):
        """Return the time of a kind of work on one thread."""
        record = pool.KINDS + kind % pool.N_KINDS * pool.KIND
        return int(self.pool[record + pool.TIME]) if self.pool[record + pool.KEY] == kind else 0


@pytest.fixture
def machine():
    return Machine()


def test_the_time_of_work_is_learned_from_its_pieces(machine):
    assert machine.shares()  # the time is not known yet
    machine.works(*[5 * US] * 20)
    assert machine.learned() == 100 * US


def test_the_first_piece_finds_cold_caches_and_does_not_count(machine):
    machine.works(300 * US, *[5 * US] * 19)
    assert machine.learned() == 100 * US


def test_a_disturbed_call_changes_little_and_an_undisturbed_one_much(machine):
    machine.works(*[5 * US] * 20)
    machine.works(*[500 * US] * 20)
    assert 100 * US < machine.learned() <= 120 * US
    for _ in range(3):
        machine.works(*[5 * US] * 20)
    assert machine.learned() < 103 * US


def test_work_that_takes_longer_than_before_is_learned_in_time(machine):
    machine.works(*[5 * US] * 20)
    for _ in range(60):
        machine.works(*[10 * US] * 20)
    assert 190 * US < machine.learned() <= 200 * US


def test_small_work_is_not_shared_with_a_helper_who_watches(machine):
    machine.is_awake = True
    for each, expected in ((2, False), (3, True)):  # of 20 pieces: 40 and 60 microseconds
        assert machine.shares(each)
        machine.works(*[each * US] * 20, kind=each)
        assert machine.shares(each) is expected


def test_a_helper_is_woken_for_work_of_twice_the_time_of_waking(machine):
    for each, expected in ((4, False), (6, True)):  # 80 and 120; waking takes 50
        machine.works(*[each * US] * 20, kind=each)
        machine.passes(10**9)
        assert machine.shares(each) is expected


def test_waking_that_saves_nothing_is_given_up_and_tried_again_in_time(machine):
    machine.works(*[10 * US] * 20)
    shared = [machine.calls(*[10 * US] * 20) for _ in range(400)]
    assert shared[0]
    assert not any(shared[1:10])
    assert 2 <= sum(shared) <= 20  # a tenth of a microsecond for each call


def test_waking_that_saves_time_goes_on(machine):
    machine.works(*[10 * US] * 20)
    assert all(machine.calls(*[10 * US] * 20, helped=8) for _ in range(100))


def test_work_below_the_cost_of_waking_is_tried_again_in_time(machine):
    machine.works(*[4 * US] * 20)
    shared = [machine.calls(*[4 * US] * 20) for _ in range(300)]
    assert not any(shared[:60])
    assert any(shared)


def test_calls_after_pauses_that_go_alone_seldom_ask_the_pool(machine):
    machine.works(*[4 * US] * 20)
    for questions in (1, 2):
        machine.calls(*[4 * US] * 20)
        assert machine.questions == questions
        assert not any(machine.calls(*[4 * US] * 20) for _ in range(sharing.ALONE_IN_A_ROW))
        assert machine.questions == questions
    machine.calls(*[4 * US] * 20)
    for after in (sharing.SOON, 2 * sharing.SOON):  # these may be the first of many
        machine.calls(*[4 * US] * 20, after=after)
    assert machine.questions == 5


def test_a_helper_is_woken_for_calls_that_come_one_after_the_other(machine):
    machine.works(*[4 * US] * 20)
    machine.passes(10**9)
    shared = [machine.calls(*[4 * US] * 20, after=50 * US) for _ in range(6)]
    assert shared == [False, False, False, False, True, True]
    assert not machine.calls(*[4 * US] * 20, after=400 * US)
    assert not machine.calls(*[4 * US] * 20, after=50 * US)


def test_calls_one_after_the_other_do_not_share_small_work(machine):
    machine.works(*[2 * US] * 20)
    assert not any(machine.calls(*[2 * US] * 20, after=50 * US) for _ in range(20))


def test_after_a_call_that_lost_time_the_next_ones_go_alone(machine):
    machine.is_awake = True
    machine.works(*[10 * US] * 20)
    waits = 400 * US  # for a helper whose processor another process has
    machine.works(*[10 * US] * 9, waits, *[0] * 10, helped=10)
    lost = 90 * US + waits - 200 * US
    assert not machine.shares()
    machine.passes(lost - 1)
    assert not machine.shares()
    machine.passes(1)
    assert machine.shares()


def test_a_slow_call_that_nobody_helped_with_is_no_loss(machine):
    machine.is_awake = True
    machine.works(*[10 * US] * 19, 400 * US)
    assert machine.shares()


def test_long_work_asks_for_helpers_whatever_was_lost(machine):
    machine.is_awake = True
    for kind, each in ((1, 500 * US), (2, 2000 * US)):
        machine.works(*[each] * 20, kind=kind)
    machine.pool[pool.ALONE_UNTIL] = machine.clock[0] + 10**9
    assert not machine.shares(1)
    assert machine.shares(2)


def test_rests_grow_with_losses_up_to_a_tenth_of_a_second():
    rests, losses = [], 0
    for _ in range(12):
        rests.append(sharing.rest_after(100 * US, losses))
        losses = sharing.count_losses(losses, 300 * US, 200 * US)
    assert rests == [100 * US << n for n in (*range(7), *[6] * 5)]
    assert sharing.rest_after(10**9, 6) == 10**8
    for expected in (5, 4, 3):  # calls to which helpers are worth a quarter
        losses = sharing.count_losses(losses, 140 * US, 200 * US)
        assert losses == expected
    assert sharing.count_losses(3, 160 * US, 200 * US) == 3
    assert sharing.count_losses(0, 100 * US, 200 * US) == 0


def test_a_balance_of_gains_bears_a_loss():
    balance = 0
    for _ in range(10):
        balance = sharing.settle(balance, 30 * US)
    assert sharing.pays(sharing.settle(balance, -(10**9)))  # an accident
    assert not sharing.pays(sharing.settle(0, -10 * US))


def test_kinds_are_told_apart_by_what_they_do_and_by_size():
    kinds = {
        threads.kind(size, what)
        for size in (100, 140, 200, 1000, 100_000)
        for what in ("affine", "huber", ("affine", "tanh"))
    }
    assert len(kinds) == 15
    assert threads.kind(1000, "affine") == threads.kind(1010, "affine")


def test_kinds_that_share_a_record_do_not_share_what_was_learned(machine):
    other = KIND + pool.N_KINDS
    machine.works(*[10 * US] * 20)
    assert machine.learned(other) == 0
    machine.works(*[5 * US] * 20, kind=other)
    assert (machine.learned(), machine.learned(other)) == (0, 100 * US)


def test_one_helper_who_watches_does_not_keep_others_asleep(machine):
    for word in range(pool.CPU_WORDS):
        machine.pool[pool.CPUS + 8 * word] = 0  # this thread stays where it is
    asleep = [pool.HELPERS + i * pool.HELPER + pool.ASLEEP for i in range(3)]
    for place in asleep[1:]:
        machine.pool[place] = 1
    machine.pool[pool.SLEEPERS] = 2
    function = pool.compile_python_piece()

    def work(index):
        machine.passes(10_000 * US)

    machine.pool[pool.ALONE_UNTIL] = 0
    run = pool.compile_run_pieces()
    run(machine.pool.address, function, id(work), 20, 3 | KIND << 16)
    assert not any(machine.pool[place] for place in asleep)
