"""A methods paragraph to paste, with the keys of what it cites."""

from __future__ import annotations

from koopman_cli import __version__
from koopman_cli.bibliography import family_citation
from koopman_cli.nouns import counted, lag_text, number, plural
from koopman_cli.types import FitResult

_SOLVES = {
    "reversible": "solved under detailed balance",
    "svd": "solved by a singular value decomposition of the whitened cross-covariance",
    "eig": "solved as an eigenvalue problem without assuming reversibility",
}


def methods(result: FitResult) -> tuple[str, tuple[str, ...]]:
    """The paragraph, with [key] for each citation, and the keys in the order cited."""
    model = result.model
    cited: list[str] = []
    name, key = family_citation(model.family)

    def cite(*keys: str) -> str:
        cited.extend(k for k in keys if k not in cited)
        return f"[{', '.join(keys)}]"

    read = result.input
    files = counted(len(read.files), "trajectory")
    md = f" read with MDTraj {cite('mcgibbon2015mdtraj')}" if read.kind == "md" else ""
    told = [
        (
            f"Slow modes were estimated with koopman {__version__} from "
            f"{counted(read.frames, 'frame')} in {files}{md}, represented by "
            f"{counted(read.features, 'feature')} ({model.features.text})."
        ),
        (
            f"The model was {name} {cite(key)} at a lag of {lag_text(model.lag)} with {model.dim} "
            f"{plural(model.dim, 'non-constant function')}, {_SOLVES[model.solve]}, on "
            f"{counted(model.pairs, 'lagged pair')} in {model.precision} arithmetic."
        ),
    ]
    if result.lag_scan is not None:
        told.append(f"The lag was chosen from implied timescales: {result.lag_scan.reason}.")
    if result.score is not None and result.score.vampe.test is not None:
        score = result.score
        folds = counted(score.folds, "fold")
        how = f"{folds} of contiguous blocks" if score.folds else "a separate test set"
        told.append(
            f"Models were judged by the held-out VAMP-E score {cite('wu2020', 'mcgibbon2015')} on "
            f"{how}, at a fixed number of functions and never across lags."
        )
    if any(m.timescale is not None and m.timescale.low is not None for m in result.modes):
        told.append(
            "Intervals are 95% block intervals from the influence of contiguous blocks of at "
            f"least three times the slowest timescale {cite('kunsch1989')}."
        )
    if any(m.certificate for m in result.modes):
        told.append(
            "Certified ranges of eigenvalues hold a true eigenvalue if the held-out residual is as "
            f"estimated (residual and Kato-Temple bounds {cite('kato1949')}), guaranteed ranges at "
            "95%, whatever its sampling error."
        )
    elif any(m.residual is not None for m in result.modes):
        told.append(f"Residuals bound the distance to true eigenvalues {cite('colbrook2024')}.")
    if result.states is not None:
        chosen = "the spectral gap" if result.states.chosen_by == "gap" else "the user"
        told.append(
            f"{result.states.count} metastable states (number chosen by {chosen}) were obtained "
            f"with PCCA+ {cite('roblitz2013')} and checked by a Chapman-Kolmogorov test "
            f"{cite('prinz2011')}."
        )
    if result.correlations is not None:
        told.append(
            "Features were ranked by their correlation with each mode, with intervals from "
            f"{result.correlations.blocks} re-drawn blocks."
        )
    told.append(f"The seed was {number(model.seed)}.")
    return " ".join(told), tuple(cited)
