"""A population of small policies learns to balance a pole: CMA-ES, one call for each instant.

    python examples/policies.py             # about twenty seconds
    python examples/policies.py --quick     # few policies and generations

A policy is a dense network 4-8-1. In each generation pycma proposes 1,000 of them as flat vectors.
All act at the same time, each on its own carts: at each instant, one call takes the observations
(policies, carts, 4) and returns all forces. The usual loop needs a call per policy.

Needs pycma, and Matplotlib for the picture.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cma
import numpy as np

import multisubnet as ms
from multisubnet import plot

SIZES = 4, 8, 1
N_PARAMETERS = 4 * 8 + 8 + 8 + 1
STEP = 0.02  # seconds
HALF_WIDTH, MOST_ANGLE = 2.4, 0.21  # of the track, in metres, and of the pole, in radians


def move(state: np.ndarray, force: np.ndarray) -> np.ndarray:
    """Return the next state (..., 4) of carts: place, speed, angle, angular speed.

    Barto, Sutton and Anderson (1983): cart of 1 kg, pole of 0.1 kg and 1 m, force in newtons.
    """
    speed, angle, turning = np.moveaxis(state[..., 1:], -1, 0)
    sine, cosine = np.sin(angle), np.cos(angle)
    push = (force + 0.05 * turning**2 * sine) / 1.1
    turn = (9.8 * sine - cosine * push) / (0.5 * (4 / 3 - 0.1 * cosine**2 / 1.1))
    drive = push - 0.05 * turn * cosine / 1.1
    changes = np.stack([speed, drive, turning, turn], axis=-1)
    return state + np.float32(STEP) * changes.astype(np.float32)


def forces(policies: ms.WeightSets, states: np.ndarray) -> np.ndarray:
    """Return the force of each policy on each of its carts, (policies, carts)."""
    return 10 * policies.predict(states)[:, :, 0, 0]


def policies_of(theta: np.ndarray) -> ms.WeightSets:
    """Return one dense network per row of parameters."""
    return ms.WeightSets.from_theta(
        theta.astype(np.float32), layer_sizes=SIZES, activation="tanh", output_activation="tanh"
    )


def seconds_upright(policies: ms.WeightSets, n_carts: int, n_steps: int, seed: int) -> np.ndarray:
    """Return how long each policy holds its poles up, on average, at most n_steps * STEP."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(-0.15, 0.15, (n_carts, 4)).astype(np.float32)  # the same for all policies
    states = np.repeat(start[None], len(policies), axis=0)
    upright = np.ones(states.shape[:2], bool)
    steps = np.zeros(states.shape[:2])
    for _ in range(n_steps):
        states = move(states, forces(policies, states))
        fell = (abs(states[..., 0]) > HALF_WIDTH) | (abs(states[..., 2]) > MOST_ANGLE)
        upright &= ~fell
        states[~upright] = 0  # so that nothing overflows
        steps += upright
    return STEP * steps.mean(axis=1)


def write_picture(path: Path, missed: list[np.ndarray]) -> None:
    """Draw the sorted losses, the seconds that are missing, of the first and last generation."""
    try:
        axes = plot.losses(missed[0], log=False)
    except ImportError:
        print("no picture without Matplotlib: pip install matplotlib")
        return
    plot.losses(missed[-1], log=False, ax=axes)
    axes.legend(axes.lines[::2], ["generation 1", f"generation {len(missed)}"])
    axes.set(xlabel="policies, best first", ylabel="seconds fallen")
    axes.figure.savefig(path)
    print(f"wrote {path}: all policies of the first and the last generation, by loss")


def main() -> None:
    """Evolve policies, and compare one call for all with one call for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few policies and generations")
    parser.add_argument(
        "--picture", type=Path, default="policies.png", help="a file (policies.png)"
    )
    options = parser.parse_args()
    n_policies, n_generations, n_steps = (100, 6, 150) if options.quick else (1000, 12, 500)
    n_carts = 8

    settings = {"popsize": n_policies, "seed": 1, "verbose": -9}
    evolution = cma.CMAEvolutionStrategy(np.zeros(N_PARAMETERS), 0.5, settings)
    most, missed = n_steps * STEP, []
    for generation in range(n_generations):
        theta = np.array(evolution.ask())
        seconds = seconds_upright(policies_of(theta), n_carts, n_steps, generation)
        evolution.tell(list(theta), list(-seconds))
        missed.append(most - seconds)
        print(
            f"generation {generation + 1}: the best of {n_policies} policies stays upright for "
            f"{seconds.max():.2f} of {most:.0f} s, {seconds.mean():.2f} s on average"
        )

    policies = policies_of(theta)
    states = np.zeros((n_policies, n_carts, 4), np.float32) + np.float32(0.1)
    forces(policies, states)  # compiles, once per installation
    before = time.perf_counter()
    together = forces(policies, states)
    of_all = time.perf_counter() - before
    each = [policies[n : n + 1] for n in range(n_policies)]
    before = time.perf_counter()
    alone = [forces(one, states[n : n + 1]) for n, one in enumerate(each)]
    of_each = time.perf_counter() - before
    same = np.array_equal(together, np.concatenate(alone))
    print(
        f"one instant: {1e3 * of_all:.2f} ms in one call, {1e3 * of_each:.1f} ms in {n_policies} "
        f"calls, with {'the same' if same else 'other'} forces"
    )
    write_picture(options.picture, missed)


if __name__ == "__main__":
    main()
