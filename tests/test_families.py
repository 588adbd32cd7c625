"""A new family is one file and one line: one whose lift is trained goes the whole way."""

import sys
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
from scipy.signal import lfilter

from koopman_cli import FitOptions, fit, load_model, transform, write_run
from koopman_cli.lifts import LIFTS
from koopman_cli.models import MODELS, list_models, tica
from koopman_cli.models.base import Family, setting
from koopman_cli.types import Lift

SEEN = []


@dataclass(frozen=True)
class Settings(Family):
    """One tanh of a random direction and the features, scaled as on the training frames."""

    slope: float = setting("steepness of the tanh", 1.0)

    @property
    def solver(self):
        return "reversible"

    def learns_lift(self, stream):
        return True

    def learns_lag(self, stream):
        return True

    def for_lags(self):
        return tica.Settings()

    def fit_lifts(self, parts):
        SEEN.append(parts)
        return (self.fit_lift(part) for part in parts)

    def fit_lift(self, part):
        spread = part.sample(1000).std(axis=0)
        weights = np.random.default_rng(part.seed).standard_normal(len(spread)) / spread
        names = (*part.stream.spec.names, "tanh")
        return Lift("trained", names, {"lag": part.lag}, {"weights": self.slope * weights})

    def notes(self, lift):
        return (f"trained at lag {lift.settings['lag']}",)


def evaluate(lift, x):
    """The stored arrays as a function, in numpy."""
    return np.column_stack([x, np.tanh(x @ lift.arrays["weights"])])


def slow_column(frames, columns=2):
    """Noise, its first column an AR(1) process with a timescale of 19.5 frames."""
    x = np.random.default_rng(0).standard_normal((frames, columns))
    x[:, 0] = lfilter([1], [1, -0.95], x[:, 0])
    return x


@pytest.fixture
def trained(monkeypatch):
    """The family above as if it were a file of the package, with its line in both tables."""
    module = ModuleType("koopman_tests_trained")
    module.Settings, module.evaluate = Settings, evaluate
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(MODELS, "trained", (module.__name__, "a lift that is trained"))
    monkeypatch.setitem(LIFTS, "trained", module.__name__)
    SEEN.clear()


def test_it_is_listed(trained):
    """``koopman models`` lists a new family with its own settings and those of every family."""
    meaning, settings = list_models()["trained"]
    assert meaning == "a lift that is trained"
    assert [s.name for s in settings] == ["rtol", "center", "slope"]


def test_it_is_fitted_scored_stored_and_applied(trained, tmp_path):
    """It is trained once on all frames and in one call on those of five folds, seed and lag
    included; scored, written and applied by the code that knows nothing of it.
    """
    x = slow_column(20_000)
    options = FitOptions(model="trained", lag="5", dim="1", seed=7, settings={"slope": "2"})
    result = fit(x, options)
    final, folds = SEEN
    assert len(final) == 1
    assert final[0].ranges is None
    assert final[0].spans() == (((0, 20_000),),)
    assert len(folds) == 5
    for part in folds:
        assert (part.lag, part.seed, part.device) == (5, 7, "auto")
        seen = sum(b - a for spans in part.spans() for a, b in spans)
        assert 14_000 < seen < 17_000
    assert result.score.folds == 5
    assert result.score.vampe.test > 1.3
    assert result.modes[0].timescale.value == pytest.approx(-1 / np.log(0.95), rel=0.2)
    assert "trained at lag 5" in result.notes
    write_run(result, tmp_path / "run")
    model = load_model(tmp_path / "run" / "model.h5")
    (run,) = transform(model, x).runs
    lifted = evaluate(result.model.lift, x)
    expected = (lifted - result.model.mean) @ result.model.left[:, :1]
    np.testing.assert_allclose(run.array(), expected, rtol=0, atol=1e-12)


def test_lags_are_chosen_without_training(trained):
    """``--lag auto`` scans the family that ``for_lags`` names, so nothing is trained for it."""
    fit(slow_column(5000), FitOptions(model="trained", dim="1", folds=0))
    assert [len(parts) for parts in SEEN] == [1]
