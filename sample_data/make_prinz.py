"""Simulate the sample in ``prinz/``: four walkers in the four-well potential of Prinz et al.

python sample_data/make_prinz.py

The potential, its force and the integrator are those the tests use (``tests/systems.py``).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SEED, WALKERS, FRAMES = 2011, 4, 10_000


def main() -> None:
    """Simulate, write, print the exact timescales."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from systems import PRINZ

    runs = PRINZ.simulate(SEED, WALKERS * FRAMES, walkers=WALKERS)
    np.save(HERE / "prinz" / "prinz.npy", np.stack(runs))
    process = PRINZ.process
    assert process is not None
    chain = -PRINZ.dt / np.log(PRINZ.eigenvalues(1, 3).real)
    print(f"{WALKERS} x {FRAMES} frames, dt {PRINZ.dt:g}")
    print("timescales of the chain   ", chain)
    print("timescales of the equation", 1 / process.generator(2000, 3))
    print("eigenvalues at one frame  ", PRINZ.eigenvalues(1, 3).real)


if __name__ == "__main__":
    main()
