"""Units of the input: no result depends on them, however large or small the numbers are."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from systems import AR1

from koopman_cli import FitOptions, fit
from koopman_cli.analysis.domain import leverage
from koopman_cli.errors import SupportError
from koopman_cli.estimate import estimate
from koopman_cli.features.stream import FeatureStream
from koopman_cli.request import Request
from koopman_cli.types import FitResult

FAMILIES = {
    "tica": {},
    "vamp": {},
    "edmd": {},
    "edmd gaussians": {"basis": "gaussians"},
    "msm": {"clusters": 10},
}


def three_columns() -> NDArray[np.float64]:
    """Two slow columns and one of noise, mixed."""
    rng = np.random.default_rng(7)
    columns = [AR1.simulate(seed, 4000)[0][:, 0] for seed in range(2)]
    x = np.column_stack([*columns, rng.standard_normal(4000)])
    return x @ (np.eye(3) + 0.3 * rng.standard_normal((3, 3)))


@cache
def fitted(name: str, powers: tuple[int, ...]) -> tuple[FitResult, float | None]:
    """The result, and the noise floor, of the columns times powers of ten; no warnings."""
    x = three_columns() * 10.0 ** np.array(powers)
    family, options = name.split()[0], FAMILIES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = fit(x, FitOptions(model=family, lag="3", dim="2", settings=options))
        request = Request.of(family, options)
        stream = FeatureStream.from_arrays([x])
        found = estimate(stream, request, 3, dim=2, folds=0)
        total = found.blocks.total()
        floor = request.noise_floor(stream, found.lift, total, 3, found.precision)
    return result, floor


def assert_same(name: str, powers: tuple[int, ...]) -> None:
    """The scaled columns give what the plain ones give, to 1e-8."""
    (plain, floor), (scaled, again) = fitted(name, (0,) * len(powers)), fitted(name, powers)
    assert again == pytest.approx(floor, rel=1e-8)
    assert [m.verdict for m in scaled.modes] == [m.verdict for m in plain.modes]
    assert [m.reason for m in scaled.modes] == [m.reason for m in plain.modes]
    for a, b in zip(scaled.modes, plain.modes, strict=True):
        assert a.eigenvalue == pytest.approx(b.eigenvalue, rel=1e-8)
        assert a.singular_value == (b.singular_value and pytest.approx(b.singular_value, rel=1e-8))
    assert scaled.score.vampe.test == pytest.approx(plain.score.vampe.test, rel=1e-8)
    assert scaled.score.vamp2.test == pytest.approx(plain.score.vamp2.test, rel=1e-8)
    assert scaled.model.domain.limit == pytest.approx(plain.model.domain.limit, rel=1e-8)
    assert scaled.warnings == plain.warnings


@pytest.mark.parametrize("name", ["tica", "vamp", "edmd", "edmd gaussians"])
@given(powers=st.tuples(*[st.integers(-200, 200)] * 3))
@example(powers=(200, -200, 0))
@example(powers=(154, 154, 154))
@example(powers=(-200, -200, -200))
@settings(max_examples=6, deadline=None)
def test_every_column_in_a_unit_of_its_own(name, powers):
    """Each column times its own power of ten from 1e-200 to 1e200: the same result to 1e-8."""
    assert_same(name, powers)


@pytest.mark.parametrize("power", [-250, -160, 160, 250])
def test_clusters_in_another_unit(power):
    """Clusters of columns in another common unit are the same, however far from 1 it is."""
    assert_same("msm", (power,) * 3)


@pytest.mark.parametrize("power", [-200, 200])
def test_the_domain_of_extreme_values(power):
    """The leverage of extreme frames is that of the plain ones."""
    plain, scaled = fitted("tica", (0, 0, 0))[0], fitted("tica", (power,) * 3)[0]
    x = three_columns()[:100]
    found = leverage(scaled.model.domain, x * 10.0**power)
    assert found == pytest.approx(leverage(plain.model.domain, x), rel=1e-8)


def test_columns_too_small_for_coefficients():
    """Spreads of 1e-310 count as none: such a column is named, and alone it is refused."""
    x = three_columns() * [1.0, 1e-310, 1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = fit(x, FitOptions(model="tica", lag="3", dim="1"))
        assert result.model.dropped == (result.model.lift.names[1],)
        with pytest.raises(SupportError, match="none of the features varies"):
            fit(x[:, 1:2], FitOptions(model="tica", lag="3", dim="1"))
