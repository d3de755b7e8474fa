"""Pieces of work passed to other threads in compiled code, without the interpreter's lock.

A pool is a few words of memory, and helpers: threads that call `serve` and stay there. A caller
with work calls `run`. It claims a slot, writes a description of the work there, and publishes a
ticket: the range of pieces not yet taken. The caller takes pieces from the front and helpers from
the back, by replacing the ticket. A late thread finds no pieces, or takes some of a later job. So
no caller waits for a thread that has not begun, and each thread finds the same part of the work in
its cache from one call to the next.

An idle helper watches a word for some time, and then sleeps until woken. Waking takes as long as a
small call, or longer. The pool therefore learns how long waking takes, and how long the pieces of
each kind of work take, and a caller wakes helpers only if enough time is left. If helpers cost more
than they gain (other processes may need the processors), callers do without them for a while.
"""

from __future__ import annotations

import functools
import platform
import sys
from typing import Any

from numba import types

from multisubnet._backends.numba import sharing
from multisubnet._backends.numba.jit import address_of, fingerprint, inner, jit
from multisubnet._backends.numba.llvm.atomics import (
    add,
    call_piece,
    load,
    now,
    pause,
    replace,
    store,
)
from multisubnet._backends.numba.llvm.memory import stack
from multisubnet._backends.numba.llvm.pieces import call_run

# Offsets of a pool's words, in bytes. Words written by several threads have their own lines.
RUN = 0  # the address of `run`
EPOCH = 64  # changes when work is published
SLEEPERS = 128  # how many helpers sleep
STOP = 192  # not 0: helpers must return
ABANDONED = 200  # not 0: this is a forked process, without its parent's helpers
MAIN = 208  # the identity of the thread that handles signals
SPIN = 216  # nanoseconds that a helper watches before it sleeps
N_HELPERS = 224  # the number of places for helpers
LOOKS = 232  # nanoseconds between two checks for signals
WAKE_COST, ARRIVAL = 256, 264  # learned nanoseconds: to wake a helper; until it arrives
ALONE_UNTIL, LOSSES = 272, 280  # the time until which callers work alone; recent slowdowns
ENDS_AT, SOON = 288, 296  # the expected end of the last call; how many came in quick succession
CLOCK = 304  # the address of a word with the time; 0: use the system's clock
CPUS = 320  # the processors that helpers may use, as bits
CPU_WORDS = 16
KINDS = CPUS + 8 * CPU_WORDS
N_KINDS = 256

# For each kind of work: its number; the learned nanoseconds on one thread; the learned nanoseconds
# that waking helpers saves; whether they were woken for the current call.
KEY, TIME, BALANCE, WOKEN = 0, 8, 16, 24
KIND = 32

SLOTS = KINDS + N_KINDS * KIND

# For each slot:
TICKET, DONE, FAILED, OWNED, FUNCTION, ARGUMENTS, CPU = 0, 64, 72, 128, 136, 144, 152
SLOT = 192
N_SLOTS = 16

FIRST_WAKE_COST, FIRST_ARRIVAL = 15_000, 60_000  # nanoseconds, until they are learned

# For each helper: whether it sleeps; when it was woken; its thread id in the system; the processor
# it must avoid; the objects to call to sleep and to wake it, if there is no futex; the processor
# where it was last seen.
HELPERS = SLOTS + N_SLOTS * SLOT
ASLEEP, WOKEN_AT, THREAD, AVOIDED, GET, PUT, SEEN_ON = 0, 8, 16, 24, 32, 40, 48
HELPER = 64

# A ticket: the first piece not taken, the end of the pieces, and the number of helpers wanted.
MOST_PIECES = (1 << 24) - 1

_SPIN_TURN = 16  # pauses between two reads of the clock
_HELD_UP = 50_000  # nanoseconds without the processor after which a helper sleeps at once
_PATIENCE = 20_000  # nanoseconds that a caller spins for helpers before it yields

IS_LINUX = sys.platform.startswith("linux")
FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine(), 0) if IS_LINUX else 0


_WAIT, _WAKE = 128, 129  # FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE

_c_int, _word = types.int32, types.intp
if sys.platform == "win32":
    _yield = types.ExternalFunction("SwitchToThread", _c_int())
else:
    _yield = types.ExternalFunction("sched_yield", _c_int())
_syscall = types.ExternalFunction("syscall", _word(*[_word] * 7))
_gettid = types.ExternalFunction("gettid", _c_int())
_getcpu = types.ExternalFunction("sched_getcpu", _c_int())
_setaffinity = types.ExternalFunction("sched_setaffinity", _c_int(_c_int, _word, _word))
_take_gil = types.ExternalFunction("PyGILState_Ensure", _c_int())
_drop_gil = types.ExternalFunction("PyGILState_Release", types.void(_c_int))
_check_signals = types.ExternalFunction("PyErr_CheckSignals", _c_int())
_clear_error = types.ExternalFunction("PyErr_Clear", types.void())
_thread_identity = types.ExternalFunction("PyThread_get_thread_ident", _word())
_integer = types.ExternalFunction("PyLong_FromSsize_t", _word(_word))
_call_python = types.ExternalFunction("PyObject_CallOneArg", _word(_word, _word))
_release = types.ExternalFunction("Py_DecRef", types.void(_word))


_cpu_words = stack(8 * CPU_WORDS)

_learned, _learned_least = inner(sharing.learn), inner(sharing.learn_least)
_count_worth_waking, _pays = inner(sharing.count_worth_waking), inner(sharing.pays)
_settle, _forget = inner(sharing.settle), inner(sharing.forget)
_least_spacing = inner(sharing.least_spacing)
_count_soon, _count_losses = inner(sharing.count_soon), inner(sharing.count_losses)
_rest_after = inner(sharing.rest_after)


@inner
def _time(pool):
    """Return the time for learning and decisions."""
    clock = load(pool + CLOCK)
    return now() if clock == 0 else load(clock)


@inner
def _first(ticket):
    return ticket & MOST_PIECES


@inner
def _end(ticket):
    return (ticket >> 24) & MOST_PIECES


@inner
def _learn(address, nanoseconds):
    store(address, _learned(load(address), nanoseconds))


@inner
def _call_object(function):
    """Call GET or PUT of a helper, methods of a queue."""
    state = _take_gil()
    argument = _integer(1)
    result = _call_python(function, argument)
    _release(argument)
    if result == 0:
        _clear_error()
    else:
        _release(result)
    _drop_gil(state)


@inner
def _sleep(pool, helper, seen):
    """Sleep until this helper is woken, unless there is news already."""
    store(helper + ASLEEP, 1)
    add(pool + SLEEPERS, 1)
    if load(pool + EPOCH) != seen or load(pool + STOP) != 0:
        if replace(helper + ASLEEP, 1, 0):
            add(pool + SLEEPERS, -1)
        return
    while load(helper + ASLEEP) != 0:
        if load(helper + GET) != 0:
            _call_object(load(helper + GET))
        elif FUTEX:
            _syscall(FUTEX, helper + ASLEEP, _WAIT, 1, 0, 0, 0)
    _learn(pool + ARRIVAL, now() - load(helper + WOKEN_AT))


@inner
def _keep_from(pool, helper, cpu):
    """Make a helper run on another processor than its caller.

    Some systems run a woken thread where its waker runs, although other processors are idle.
    """
    if load(helper + AVOIDED) == cpu or cpu >= 64 * CPU_WORDS:
        return
    there = _cpu_words()
    others = 0
    for i in range(CPU_WORDS):
        word = load(pool + CPUS + 8 * i)
        if i == cpu // 64:
            word &= ~(1 << (cpu % 64))
        store(there + 8 * i, word)
        others |= word
    if others != 0:
        _setaffinity(load(helper + THREAD), 8 * CPU_WORDS, there)
        store(helper + AVOIDED, cpu)


@inner
def _part_from(pool, seats, cpu):
    """Move awake helpers away from their caller's processor, where they do not get to run."""
    for i in range(min(seats, load(pool + N_HELPERS))):
        helper = pool + HELPERS + i * HELPER
        if load(helper + SEEN_ON) == cpu and load(helper + ASLEEP) == 0:
            _keep_from(pool, helper, cpu)


@inner
def _wake(pool, count):
    """Wake this many sleeping helpers."""
    for i in range(load(pool + N_HELPERS)):
        helper = pool + HELPERS + i * HELPER
        if count <= 0:
            return
        if load(helper + ASLEEP) == 0 or not replace(helper + ASLEEP, 1, 0):
            continue
        add(pool + SLEEPERS, -1)
        count -= 1
        if IS_LINUX:
            _keep_from(pool, helper, _getcpu())
        store(helper + WOKEN_AT, now())
        if load(helper + PUT) != 0:
            _call_object(load(helper + PUT))
        elif FUTEX:
            _syscall(FUTEX, helper + ASLEEP, _WAKE, 1, 0, 0, 0)


@inner
def _wake_some(pool, seats, left):
    """Wake as many helpers as pay off for the remaining work; return whether any were woken."""
    cost = load(pool + WAKE_COST) + load(pool + ARRIVAL)
    count = _count_worth_waking(left, cost, min(load(pool + SLEEPERS), seats))
    if count <= 0:
        if load(pool + ARRIVAL) > FIRST_ARRIVAL:
            # Such a delay may have been an outlier: try again after a while.
            _learn(pool + ARRIVAL, FIRST_ARRIVAL)
        return False
    began = _time(pool)
    _wake(pool, count)
    _learn(pool + WAKE_COST, (_time(pool) - began) // count)
    return True


@inner
def _help(pool, number, slot):
    """Take the pieces of a job from the back; return whether there were any."""
    helper = pool + HELPERS + number * HELPER
    joined = False
    seat = 1 << 48
    while True:
        ticket = load(slot + TICKET)
        if _first(ticket) >= _end(ticket) or (seat != 0 and ticket < seat):
            return joined
        if IS_LINUX and not joined:
            cpu = load(slot + CPU)
            if _getcpu() == cpu:
                _keep_from(pool, helper, cpu)
        if not replace(slot + TICKET, ticket, ticket - (1 << 24) - seat):
            continue
        joined, seat = True, 0
        if load(slot + FAILED) == 0:
            index = _end(ticket) - 1
            status = call_piece(load(slot + FUNCTION), load(slot + ARGUMENTS), index, number + 1)
            if status != 0:
                store(slot + FAILED, 1)
                if status < 0:
                    state = _take_gil()
                    _clear_error()
                    _drop_gil(state)
        add(slot + DONE, 1)


def _serve(pool, number):
    """Work for all callers until STOP; `number` is the index of this helper."""
    helper = pool + HELPERS + number * HELPER
    store(helper + AVOIDED, -1)
    store(helper + SEEN_ON, -1)
    if IS_LINUX:
        store(helper + THREAD, _gettid())
    while load(pool + STOP) == 0:
        seen = load(pool + EPOCH)
        helped = False
        for i in range(N_SLOTS):
            if _help(pool, number, pool + SLOTS + i * SLOT):
                helped = True
        if helped:
            continue
        began = last = now()
        while load(pool + EPOCH) == seen:
            if IS_LINUX:
                cpu = _getcpu()
                if load(helper + SEEN_ON) != cpu:
                    store(helper + SEEN_ON, cpu)
            for _ in range(_SPIN_TURN):
                pause()
            time = now()
            if time - last > _HELD_UP or time - began > load(pool + SPIN):
                _sleep(pool, helper, seen)
                break
            last = time


@inner
def _record(pool, kind):
    """Return the record of a kind of work, which may be new."""
    record = pool + KINDS + kind % N_KINDS * KIND
    if load(record + KEY) != kind:
        store(record + KEY, kind)
        store(record + TIME, 0)
        store(record + BALANCE, 0)
        store(record + WOKEN, 0)
    return record


def _call_up(pool, count, kind):
    """Wake up to `count` helpers for a kind of work if that pays, and answer whether they may help.

    A negative answer is no for more calls than this one: those of this kind that begin as many
    nanoseconds after the one before need not ask for `sharing.ALONE_IN_A_ROW` calls.
    """
    record = _record(pool, kind)
    store(record + WOKEN, 0)
    time, begins_at = load(record + TIME), _time(pool)
    gap = begins_at - load(pool + ENDS_AT)
    in_a_row = _count_soon(load(pool + SOON), gap)
    store(pool + SOON, in_a_row)
    store(pool + ENDS_AT, begins_at + time)
    if 0 < time < sharing.LONG and begins_at < load(pool + ALONE_UNTIL):
        return 0
    if time == 0:
        _wake(pool, count)
        return 1  # its pieces will show how long it takes
    if load(pool + SLEEPERS) < count:
        add(pool + EPOCH, 1)  # helpers watch for longer
        return 1 if time > sharing.LEAST_SHARED else 0
    if in_a_row == sharing.IN_A_ROW and time > sharing.LEAST_SHARED:
        _wake(pool, count)  # for the next calls, if not for this one
        return 1
    spacing = _least_spacing(time)
    calls = 1 + sharing.ALONE_IN_A_ROW if gap + time > spacing else 1
    balance = load(record + BALANCE)
    if not _pays(balance):
        store(record + BALANCE, _forget(balance, calls))
    elif _wake_some(pool, count, time):
        store(record + WOKEN, 1)
        return 1
    else:
        store(record + TIME, time + calls * time // 512)  # leads to another try after a while
    return -spacing if calls > 1 else 0


def _dismiss(pool):
    """Make all helpers return."""
    store(pool + STOP, 1)
    add(pool + EPOCH, 1)
    _wake(pool, load(pool + N_HELPERS))


@inner
def _claim(pool):
    """Return a free slot, or 0."""
    for i in range(N_SLOTS):
        slot = pool + SLOTS + i * SLOT
        if load(slot + OWNED) == 0 and replace(slot + OWNED, 0, 1):
            return slot
    return 0


@inner
def _take(ticket_at):
    """Take the first free piece, or return -1."""
    while True:
        ticket = load(ticket_at)
        if _first(ticket) >= _end(ticket):
            return -1
        if replace(ticket_at, ticket, ticket + 1):
            return _first(ticket)


@inner
def _handle_signals(pool):
    """Let Python handle signals if this thread must; return not 0 if a handler raised."""
    if _thread_identity() != load(pool + MAIN):
        return 0
    state = _take_gil()
    status = _check_signals()
    _drop_gil(state)
    return status


@inner
def _judge(pool, nanoseconds, alone):
    """Stop using helpers for a while if a call with them took longer than one without."""
    losses = load(pool + LOSSES)
    store(pool + LOSSES, _count_losses(losses, nanoseconds, alone))
    if nanoseconds - alone > sharing.LEAST_LOSS:
        store(pool + ALONE_UNTIL, _time(pool) + _rest_after(nanoseconds - alone, losses))


@inner
def _settle_waking(pool, kind, saved):
    """Learn what waking helpers saved, if any were woken; `saved` excludes the cost of waking."""
    record = _record(pool, kind)
    if load(record + WOKEN) != 0:
        store(record + WOKEN, 0)
        saved -= load(pool + WAKE_COST)
        store(record + BALANCE, _settle(load(record + BALANCE), saved))


@inner
def _wait(pool, slot, others):
    """Wait until others have done their pieces; return False if they never will."""
    began = now()
    while load(slot + DONE) != others:
        if now() - began < _PATIENCE:
            pause()
        elif load(pool + ABANDONED) != 0:
            return False
        else:
            _yield()
    return True


def _run(pool, function, arguments, n_pieces, helpers):
    """Do pieces 0 to n_pieces, with up to `helpers` helpers; return 0, or why they are not done.

    -1: a Python exception is set in this thread; 1: a piece failed. The bits of `helpers` from the
    16th on are the kind of the work, or 0.
    """
    seats, kind = helpers & 0xFFFF, helpers >> 16
    began = checked = _time(pool)
    slot = 0
    is_long = kind != 0 and load(_record(pool, kind) + TIME) >= sharing.LONG
    if seats > 0 and (is_long or began >= load(pool + ALONE_UNTIL)):
        slot = _claim(pool)
    if slot != 0:
        store(slot + FUNCTION, function)
        store(slot + ARGUMENTS, arguments)
        store(slot + DONE, 0)
        store(slot + FAILED, 0)
        if IS_LINUX:
            store(slot + CPU, _getcpu())
        store(slot + TICKET, seats << 48 | n_pieces << 24)
        add(pool + EPOCH, 1)
        if IS_LINUX:
            _part_from(pool, seats, load(slot + CPU))
    status = done = longest = 0
    woken = slot == 0
    if not woken and kind == 0 and load(pool + SLEEPERS) != 0:
        _wake(pool, seats)
        woken = True
    started = time = _time(pool)
    while True:
        index = done if slot == 0 else _take(slot + TICKET)
        if index < 0 or index == n_pieces:
            break
        if status == 0 and (slot == 0 or load(slot + FAILED) == 0):
            status = call_piece(function, arguments, index, 0)
        done += 1
        last, time = time, _time(pool)
        longest = max(longest, time - last)
        if not woken and done > 1 and load(pool + SLEEPERS) > 0:
            # The first piece finds less in the caches than later ones.
            mean = (time - started - longest) // (done - 1)
            woken = _wake_some(pool, seats, (n_pieces - done) * mean)
        if status == 0 and time - checked > load(pool + LOOKS):
            status, checked = _handle_signals(pool), time
        if status != 0 and slot != 0:
            store(slot + FAILED, 1)
    alone = 0
    if status == 0 and done > 1:
        alone = (time - started - longest) // (done - 1) * n_pieces
        if kind != 0:
            record = _record(pool, kind)
            store(record + TIME, _learned_least(load(record + TIME), alone))
    if slot == 0:
        return status
    if not _wait(pool, slot, n_pieces - done):
        return status if status != 0 else 1
    if status == 0 and load(slot + FAILED) != 0:
        status = 1
    store(slot + OWNED, 0)
    if alone != 0:
        taken = _time(pool) - began
        if woken or done < n_pieces:
            _judge(pool, taken, alone)
        if kind != 0:
            store(pool + ENDS_AT, began + taken)
            # The slowest piece is as slow on one thread.
            least = min(alone, load(_record(pool, kind) + TIME)) + longest - alone // n_pieces
            _settle_waking(pool, kind, least - taken)
    return status


def _call_piece_in_python(function, index, worker):
    """Call a Python function with a number; return -1 if it raised."""
    state = _take_gil()
    argument = _integer(index)
    result = _call_python(function, argument)
    _release(argument)
    if result != 0:
        _release(result)
    _drop_gil(state)
    return 0 if result != 0 else -1


def _entry(fingerprint: int) -> Any:
    def run_pieces(pool, function, arguments, n_pieces, seats):
        """Call `run`, and raise its errors."""
        _ = fingerprint
        call_run(pool, function, arguments, n_pieces, seats)

    return run_pieces


@functools.cache
def compile_run() -> int:
    """Compile `run`, and return its address."""
    return address_of(_named(_run), _c_int(*[_word] * 5))


@functools.cache
def compile_python_piece() -> int:
    """Return the address of a piece function whose argument is a Python function of the index."""
    return address_of(_named(_call_piece_in_python), _c_int(*[_word] * 3))


@functools.cache
def compile_serve() -> Any:
    """Return `serve` for Python."""
    return jit(_named(_serve), types.void(_word, _word))


@functools.cache
def compile_call_up() -> Any:
    """Return `call_up` for Python."""
    return jit(_named(_call_up), _word(_word, _word, _word))


@functools.cache
def compile_dismiss() -> Any:
    """Return `dismiss` for Python."""
    return jit(_named(_dismiss), types.void(_word))


@functools.cache
def compile_run_pieces() -> Any:
    """Return `run` for Python, raising its errors."""
    return jit(_entry(fingerprint()), types.void(*[_word] * 5))


def _named(function: Any) -> Any:
    """Give a function a name that changes with the code compiled in from other files."""
    function.__qualname__ = f"{function.__name__}_{fingerprint()}"
    return function
