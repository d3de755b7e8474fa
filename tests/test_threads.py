"""Threads of the CPU engine: interrupts, forks, exits, many callers, and their number."""

from __future__ import annotations

import pytest
from conftest import combined, takes_long
from test_dispatch import run

pytest.importorskip("numba")

# Three threads for any number of cores and any amount of work, and a check for signals after each
# piece.
START = """
import faulthandler, os, random, signal, sys, threading, time, timeit
import numpy as np, multisubnet as ms
from multisubnet._backends.numba import threads
threads._count_cores = lambda: 3
threads._LOOKS = 0
kind_of, threads.kind = threads.kind, lambda size, *what: 0  # all work is shared
ms.set_backend("numba")
x, w = np.ones((300, 64), "f4"), np.ones((20, 64), "f4")
out = np.empty((20, 300, 64), "f4")
def compiled(): ms.affine(x, w, w, activation="gelu", out=out)
def in_python(): ms.affine(x.astype("f8"), w, w, out=out)
def sums(): return ms.mean_loss(x, w, w, x, loss="huber", activation="tanh")
layers = [np.ones((100, 64, 1, 4), "f4"), np.ones((100, 64, 4, 1), "f4")]
def networks(): return ms.mlp_mean_loss_and_grad(x, layers, x)
"""

INTERRUPTS = (
    START
    + """
class Stop(BaseException): pass
def handler(*_): raise Stop
signal.signal(signal.SIGALRM, handler)
interrupts = late = 0
from multisubnet._backends.numba import engine
write, written = engine.mlp_gradients, {compiled: [out], in_python: [out], sums: []}
def mlp_gradients(sums, totals, divisor):
    written[networks] = [totals.loss, totals.layers[0][0]]
    return write(sums, totals, divisor)
engine.mlp_gradients = mlp_gradients
for call in (compiled, in_python, sums, networks):
    faulthandler.cancel_dump_traceback_later()  # to compile takes time
    call()
    each = min(timeit.repeat(call, number=1, repeat=20))
    for _ in range(ROUNDS):
        faulthandler.dump_traceback_later(30, exit=True)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(random.uniform(0, 1.1 * each), 1e-6), AGAIN)
            call()
            signal.setitimer(signal.ITIMER_REAL, 0)
            time.sleep(0)  # handles a signal that has come
        except Stop:
            signal.setitimer(signal.ITIMER_REAL, 0)
            interrupts += 1
            for array in written[call]: array.fill(-7)
            time.sleep(0.002)
            late += any((array != -7).any() for array in written[call])
    signal.setitimer(signal.ITIMER_REAL, 0)
    call()
    assert all((array == array.flat[0]).all() for array in written[call])
print(interrupts > ROUNDS // 2, late)
"""
)


@takes_long
@pytest.mark.parametrize("again", [0, 0.0003])  # seconds until the next one
def test_interrupted_calls_end_and_write_no_more(again):
    program = f"ROUNDS, AGAIN = 250, {again}" + INTERRUPTS.replace("except Stop:\n", UNTIL_QUIET)
    assert run(program, MULTISUBNET_NUM_THREADS="3").split() == ["True", "0"]


# Repeated interrupts continue until they are switched off, which they can also interrupt.
UNTIL_QUIET = """except Stop:
            while True:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    time.sleep(0)
                    break
                except Stop: pass
"""

AT_EACH_STEP = """
import faulthandler, itertools, sys, time
from multisubnet._backends.numba import threads
begun, ended, interrupts = [], [], 0
def work(piece):
    begun.append(piece)
    time.sleep(0.06 if piece else 0.02)
    ended.append(piece)
def interrupt(frame, event, argument):
    # As a signal handler that runs as a function begins or ends.
    if (event, frame.f_code.co_name) == step and frame.f_code.co_filename == threads.__file__:
        sys.setprofile(None)
        raise KeyboardInterrupt
threads._count_cores = lambda: 3
threads.run(work, ((0,) for _ in range(3)), 3)  # there are helpers now
names = "run", "share", "_get_pool", "grow", "do_piece"
for step in itertools.product(("call", "return"), names):
    faulthandler.dump_traceback_later(30, exit=True)
    sys.setprofile(interrupt)
    try:
        threads.run(work, ((i,) for i in (0, 1, 1)), 3)  # on a busy machine without help, perhaps
    except KeyboardInterrupt:
        interrupts += 1
        if len(begun) > len(ended): print("pieces go on after", step)
    finally: sys.setprofile(None)
    time.sleep(0.1)
print("done", interrupts == 10)
"""


def test_an_interrupt_at_each_step_of_a_call():
    assert run(AT_EACH_STEP) == "done True"


LONG = """
import os, signal, threading, time
import numpy as np, multisubnet as ms
ms.set_backend("numba")
x, w = np.ones((20000, 64), "f4"), np.ones((400, 64), "f4")
def sums(w): ms.mean_loss(x, w, w, x, loss="log_cosh", activation="gelu")
def networks(w):
    first = np.ones((len(w), 64, 1, 4), "f4")
    ms.mlp_mean_loss_and_grad(x, [first, first.reshape(-1, 64, 4, 1)], x)
CALL(w)  # compiles
began = time.perf_counter()
CALL(w)
whole = time.perf_counter() - began
def interrupt():
    global sent
    time.sleep(0.3 * whole)
    sent = time.perf_counter()
    os.kill(os.getpid(), signal.SIGINT)
took = []
for _ in range(5):
    threading.Thread(target=interrupt).start()
    try:
        CALL(w)
        print("not interrupted")
    except KeyboardInterrupt:
        took.append(time.perf_counter() - sent)
print(min(took) < 0.1, whole > 0.15)
"""


@pytest.mark.parametrize(("call", "threads"), combined(["sums", "networks"], ["1", "2"]))
def test_a_long_call_ends_soon_after_ctrl_c(call, threads):
    program = LONG.replace("CALL", call)
    assert run(program, MULTISUBNET_NUM_THREADS=threads).split() == ["True", "True"]


RULE = (
    START
    + """
from multisubnet._backends.numba import pool
kind = kind_of(7, "some work")
def count():
    threads._rests.clear()
    return threads.count(100, kind)
counts = [count()]  # the time is not known yet
threads.run(time.sleep, [(1e-3,)] * 20, 3, kind)
words, record = threads._pool, pool.KINDS + kind % pool.N_KINDS * pool.KIND
time.sleep(0.1)
print(words[record + pool.KEY] == kind, words[record + pool.TIME] > 10_000_000, words.count_awake())
for words[record + pool.TIME] in 20_000, 20_000_000:
    time.sleep(0.1)
    counts.append(count())
words[pool.ALONE_UNTIL] = time.monotonic_ns() + 10**12
for words[record + pool.TIME] in 19_000_000, 20_000_000:
    counts.append(count())
words[pool.ALONE_UNTIL] = 0
words[pool.ARRIVAL] = 10**9  # longer than it takes alone
time.sleep(0.1)
counts.append(count())
print(*counts)
"""
)


def test_helpers_are_woken_for_work_that_takes_longer_than_waking():
    output = run(RULE, MULTISUBNET_NUM_THREADS="3").split()
    assert output == ["True", "True", "0", "3", "1", "3", "1", "3", "1"]


ASLEEP_IN_PYTHON = (
    START
    + """
threads._sleeps_in_python = True
threads._SPIN = 0
for _ in range(300):
    out.fill(0)
    compiled()
    assert (out == out[0, 0, 0]).all() and out.any()
    in_python()
    assert (out == 2).all()
    time.sleep(0.001)
print("done")
"""
)


def test_without_a_futex_threads_sleep_in_python():
    assert run(ASLEEP_IN_PYTHON, MULTISUBNET_NUM_THREADS="3") == "done"


FORKS = (
    START
    + """
import warnings
warnings.simplefilter("ignore")
compiled()
desired = networks()[0]
ended = []
def calls():
    own = np.empty_like(out)
    while not ended:
        ms.affine(x, w, w, activation="gelu", out=own)
        ms.affine(x.astype("f8"), w, w, out=own)
        networks()
callers = [threading.Thread(target=calls) for _ in range(2)]
for caller in callers: caller.start()
statuses = set()
for _ in range(20):
    time.sleep(0.003)
    child = os.fork()
    if not child:
        signal.alarm(60)
        in_python()
        os._exit(int(not (out == 2).all() or not (networks()[0] == desired).all()))
    statuses.add(os.waitpid(child, 0)[1])
ended.append(1)
print(statuses)
"""
)

FORK_WHILE_COMPILING = (
    START
    + """
import warnings
warnings.simplefilter("ignore")
thread = threading.Thread(target=lambda: ms.affine(x, w, activation="gelu"))
thread.start()
children = []
for _ in range(3):  # while Numba is imported, and later
    time.sleep(0.3)
    children.append(os.fork())
    if not children[-1]:
        signal.alarm(200)
        os._exit(int(not (ms.affine(x, w, w) == 2).all()))
print({os.waitpid(child, 0)[1] for child in children})
thread.join()
"""
)


@pytest.mark.skipif("not hasattr(__import__('os'), 'fork')", reason="the system has no fork")
@pytest.mark.parametrize("program", [FORKS, FORK_WHILE_COMPILING], ids=["calls", "compiling"])
def test_a_fork_in_the_middle_of(program, tmp_path):
    output = run(program, NUMBA_CACHE_DIR=str(tmp_path), MULTISUBNET_NUM_THREADS="3")
    assert output == "{0}"


FORK_IN_A_HANDLER = (
    START
    + """
import warnings
warnings.simplefilter("ignore")
children = []
def handler(*_):
    child = os.fork()
    if not child: signal.alarm(30)
    children.append(child)
signal.signal(signal.SIGALRM, handler)
parent = os.getpid()
compiled()
for i in range(30):
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
    try:
        compiled()
        time.sleep(0.001)
    except RuntimeError as error:
        assert os.getpid() != parent and str(error) == "a piece of the work was not done"
    if os.getpid() != parent: os._exit(0)
print(len(children), {os.waitpid(child, 0)[1] for child in children})
"""
)


@pytest.mark.skipif("not hasattr(__import__('os'), 'fork')", reason="the system has no fork")
def test_a_signal_handler_that_forks():
    output = run(FORK_IN_A_HANDLER, MULTISUBNET_NUM_THREADS="3")
    assert output == "30 {0}"


EXIT = (
    START
    + """
def calls():
    while True: compiled()
for _ in range(2): threading.Thread(target=calls, daemon=True).start()
time.sleep(0.3)
print("exits")
"""
)


def test_the_interpreter_may_exit_while_other_threads_call():
    assert run(EXIT, MULTISUBNET_NUM_THREADS="3") == "exits"


MANY = """
import os, threading, numpy as np, multisubnet as ms
from multisubnet._backends.numba import threads
ms.set_backend("numba")
x = np.ones((2000, 64), "f4")
ms.affine(x, x[:9])
print(threading.active_count() <= threads._count_cores())
"""


def test_no_more_threads_than_cores():
    assert run(MANY, MULTISUBNET_NUM_THREADS="1000000000") == "True"


ONE_CORE = MANY.replace("ms.set_backend", "os.sched_setaffinity(0, {0}); ms.set_backend")


@pytest.mark.skipif(
    "not hasattr(__import__('os'), 'sched_setaffinity')", reason="the system binds no processes"
)
def test_a_process_that_is_bound_to_a_core_has_one_thread():
    assert run(ONE_CORE + "print(threading.active_count())").split() == ["True", "1"]
