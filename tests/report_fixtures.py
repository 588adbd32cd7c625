"""Results of fits made by hand, so that storage and reports can be tested without a fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from koopman_cli.moments import BlockMoments
from koopman_cli.types import (
    DimChoice,
    FeatureSpec,
    FitResult,
    Gap,
    InputSummary,
    Lag,
    LagScan,
    Lift,
    Mode,
    Model,
    Projection,
    Quantity,
    Score,
    ScoreEntry,
    TimeStep,
)

NAMES = ("cos phi ALA2", "sin phi ALA2", "cos psi ALA2", "sin psi ALA2")
DT = TimeStep(1.0, "ps", "time stamps of run1.xtc")


def blocks(d: int = 4, regions: int = 5, seed: int = 1) -> BlockMoments:
    """Block moments of the right shapes; the numbers mean nothing."""
    rng = np.random.default_rng(seed)
    square = (1, regions, d + 1, d + 1)
    return BlockMoments(
        lags=(5,),
        xx=rng.normal(size=square),
        xy=rng.normal(size=square),
        yy=rng.normal(size=square),
        shift=rng.normal(size=d),
        scale=2.0 ** rng.integers(-3, 3, size=d),
        is_block=np.arange(regions) % 2 == 0,
        trajectory=np.zeros(regions, np.int64),
        start=np.arange(regions) * 100,
        stop=np.arange(1, regions + 1) * 100,
        frames=100 * regions,
    )


def model(**changes) -> Model:
    """A reversible model of four features with three functions, two of them counted."""
    rng = np.random.default_rng(0)
    made = Model(
        family="tica",
        solve="reversible",
        settings={"reversible": True, "rtol": 1e-10, "layers": (64, 64), "name": None},
        lag=Lag(5, 5.0, "ps"),
        dt=DT,
        features=FeatureSpec(
            "torsions",
            NAMES,
            ("", "", "", ""),
            "md",
            "protein",
            {"a/b": np.arange(6).reshape(2, 3)},
        ),
        lift=Lift("identity", NAMES, {"degree": 2}, {"centres": rng.normal(size=(3, 4))}),
        dropped=("constant µ",),
        mean=rng.normal(size=4),
        mean_right=rng.normal(size=4),
        left=rng.normal(size=(4, 3)),
        right=rng.normal(size=(4, 3)),
        eigenvalues=np.array([0.86, 0.4, 0.05], complex),
        singular_values=None,
        dim=2,
        rank=4,
        pairs=98990,
        seed=7,
        blocks=blocks(),
        basis=None,
        warnings=("a warning",),
    )
    return replace(made, **changes)


def projection(frames: int = 400, k: int = 3) -> Projection:
    """Two wells in phi, two in psi: enough for maps to have something in them."""
    rng = np.random.default_rng(3)
    well = rng.random(frames) < 0.1
    phi = np.where(well, 1.0, -1.6) + 0.3 * rng.normal(size=frames)
    psi = np.where(rng.random(frames) < 0.5, 2.6, -0.4) + 0.3 * rng.normal(size=frames)
    torsions = np.angle(np.exp(1j * np.stack([phi, psi], axis=1)))
    slow = np.stack([np.sin(phi), np.sin(psi), np.cos(psi)], axis=1)[:, :k]
    half = frames // 2
    return Projection(
        trajectory=np.repeat([0, 1], [half, frames - half]),
        frame=np.concatenate([np.arange(half), np.arange(frames - half)]) * 10,
        values=(slow - slow.mean(axis=0)) / slow.std(axis=0),
        torsions=torsions,
        torsion_names=("phi ALA2", "psi ALA2"),
    )


def score(dim: int, test: float, train: float) -> Score:
    """Scores whose VAMP-E is as given."""
    folds = (test - 0.1, test + 0.1)
    entry = ScoreEntry(train, test, 0.05 if dim else 0.0, folds)
    return Score(dim, entry, replace(entry, train=train + 0.01), entry, folds=2, blocks=20)


def lag_scan() -> LagScan:
    """Three lags; the last timescale is undefined at the longest."""
    times = np.array([[25.0, 4.0, 2.0], [33.0, 5.5, 2.5], [47.0, 6.0, np.nan]])
    return LagScan((2, 5, 10), times, 5, False, "leading two timescales still rise")


def result(**changes) -> FitResult:
    """A complete fit: an interval, an undefined timescale, a gap, warnings, no states."""
    modes = (
        Mode(
            1,
            0.86 + 0j,
            eigenvalue_low=0.83,
            eigenvalue_high=0.88,
            timescale=Quantity(33.2, 27.1, 41.0, "ps"),
            certificate={
                "low": 0.8,
                "high": 0.9,
                "kind": "kato-temple",
                "guaranteed": {"low": 0.7, "high": 0.95},
            },
            residual=0.02,
            verdict="resolved",
            reason="above the noise floor 0.04",
        ),
        Mode(2, 0.4 + 0j, timescale=Quantity(5.46, unit="ps"), verdict="resolved"),
        Mode(3, -0.05 + 0j, reason="eigenvalue not positive: no timescale"),
    )
    scores = (score(0, 1.0, 1.0), score(1, 1.7, 1.74), score(2, 1.84, 1.9), score(3, 1.83, 1.91))
    made = FitResult(
        input=InputSummary("md", (("run1.xtc", "ab" * 32, 49500), ("rün 2.xtc", "cd" * 32, 49500)),
                           99000, 4, DT),
        model=model(),
        modes=modes,
        score=scores[2],
        gap=Gap(1, Quantity(6.1, 4.4, 8.2, ""), True, "lower bound above 2.5"),
        lag_scan=lag_scan(),
        dim_choice=DimChoice(scores, 2, "simplest within one error of the best"),
        projection=projection(),
        notes=("features: torsions (there are 2)", "lag: 5 frames, timescales still rise"),
        warnings=("lag not converged",),
        config={"paths": ["run1.xtc"], "top": None, "lag": "5", "settings": {"rtol": 1e-10}},
        provenance={"command": "koopman fit run1.xtc", "seed": 7, "seconds": 1.25},
    )  # fmt: skip
    return replace(made, **changes)


def complex_result() -> FitResult:
    """A flow: an oscillating pair, a decaying mode, no torsions, no time step."""
    pair = complex(0.95 * np.exp(0.3j))
    period = Quantity(float(2 * np.pi / 0.3), unit="frames")
    decay = Quantity(float(-1 / np.log(0.95)), unit="frames")
    values = (pair, pair.conjugate(), 0.5 + 0j)
    modes = (
        Mode(1, values[0], timescale=decay, period=period, verdict="resolved"),
        Mode(2, values[1], timescale=decay, period=period, verdict="resolved"),
        Mode(3, values[2], timescale=Quantity(1.44, unit="frames"), verdict="invalid"),
    )
    flow = model(
        family="edmd", solve="eig", dt=None, lag=Lag(1, 1.0, "frames"), eigenvalues=np.array(values)
    )
    plain = replace(projection(), torsions=None, torsion_names=())
    inputs = InputSummary("array", (("x.npy", "ef" * 32, 400),), 400, 2, None)
    return result(input=inputs, model=flow, modes=modes, gap=None, lag_scan=None, projection=plain)
