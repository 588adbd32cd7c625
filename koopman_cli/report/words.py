"""The result in plain words: a summary, and help where there is no gap or no slow mode."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from koopman_cli.analysis.consistency import AT_LEAST
from koopman_cli.analysis.periods import period_words
from koopman_cli.hints import completed, rank_command
from koopman_cli.nouns import chance, counted, lag_text, number, spelled
from koopman_cli.report.text import quantity
from koopman_cli.types import FitResult, Mode, ReadOptions


def is_flow(result: FitResult) -> bool:
    """Whether the model is a sum of oscillations, of a field or of an array."""
    # A flow has no gap: it is the sum of all its modes.
    rates = any(mode.growth is not None for mode in result.modes)
    return result.gap is None and (result.flow is not None or rates)


def _resolved(result: FitResult) -> list[Mode]:
    return [mode for mode in result.modes if mode.verdict == "resolved"]


def _flow_words(result: FitResult) -> list[str]:
    moving = [m for m in _resolved(result) if m.eigenvalue is not None and m.eigenvalue.imag > 0]
    still = [m for m in _resolved(result) if m.eigenvalue is not None and m.eigenvalue.imag == 0]
    told = [f"{spelled(len(moving), 'oscillation')} resolved".capitalize()]
    if still:
        told[0] += f", {spelled(len(still), 'mode')} without oscillation"
    if moving:
        first = moving[0]
        text = f"the strongest, mode {first.index}, has a period of {quantity(first.period)}"
        if first.growth is not None:
            text += f" and a growth rate of {quantity(first.growth)}"
        told.append(text)
    return told


def _mode_words(result: FitResult) -> list[str]:
    found = _resolved(result)
    if result.model.eigenvalues is None:
        coherences = [m for m in result.modes if m.singular_value is not None]
        told = [f"{spelled(len(found), 'coherent mode')} resolved".capitalize()]
        if coherences:
            told.append(f"the largest coherence is {number(coherences[0].singular_value or 0)}")
        return told
    told = [f"{spelled(len(found), 'slow mode')} resolved".capitalize()]
    timed = [m for m in found if m.timescale is not None]
    if timed:
        word = "it takes" if len(found) == 1 else "the slowest takes"
        told.append(f"{word} {_bounded(timed[0], result)}")
    return told


def _bounded(mode: Mode, result: FitResult) -> str:
    """The timescale of a mode, as a lower bound where it rises with the lag."""
    text = quantity(mode.timescale)
    if AT_LEAST in mode.reason:
        return f"at least {text} (not converged: still rising with the lag)"
    if result.lag_scan is not None and not result.lag_scan.converged:
        return f"{text} (the lag is not converged)"
    return text


def summary_sentences(result: FitResult) -> list[str]:
    """Two or three sentences with numbers and 95% intervals."""
    if not result.slow:
        head = "No slow mode was found in these features"
        if is_flow(result):
            head = "No mode of this flow is resolved"
        turning = "" if is_flow(result) else period_words(result.modes, result.model.lag)
        told = [f"{head}: lag {lag_text(result.model.lag)}."]
        return [*told, *([f"What turns in them has {turning}."] if turning else [])]
    parts = _flow_words(result) if is_flow(result) else _mode_words(result)
    gap = result.gap
    if gap is not None and gap.after is not None:
        # A next eigenvalue that is not positive has no timescale, and the gap no ratio.
        size = f"is {quantity(gap.ratio)}" if gap.ratio else f"is sure ({gap.reason})"
        parts.append(f"the gap after mode {gap.after} {size}")
    elif gap is not None and not is_flow(result):
        parts.append("no spectral gap is resolved")
    if result.states is not None:
        parts.append(spelled(result.states.count, "metastable state"))
    if result.coherent is not None:
        parts.append(spelled(result.coherent.count, "coherent set"))
    told = ["; ".join(parts) + "."]
    test = None if result.states is None else result.states.chapman_kolmogorov
    if test is not None and test.verdict == "failed":
        told.append(
            f"The Chapman-Kolmogorov test failed (p = {chance(test.p)}, largest deviation "
            f"{test.deviation:.2g}): populations, lifetimes and passage times of these states are "
            "not to be trusted."
        )
    score = result.score
    if score is not None and score.vampe.test is not None:
        error = "" if score.vampe.stderr is None else f" ± {score.vampe.stderr:.3f}"
        told.append(
            f"On held-out data the model scores a VAMP-E of {score.vampe.test:.3f}{error}, "
            "where 1 is the constant function alone."
        )
    return told


# ------------------------------------------------------------------ where there is nothing


@dataclass(frozen=True)
class Help:
    """A section for results that are none: what it means, and what to try, with commands."""

    title: str
    meaning: tuple[str, ...]
    steps: tuple[tuple[str, str], ...]


def help_section(result: FitResult) -> Help | None:
    """Help where no mode is slow or no gap is resolved; None where there is nothing to help."""
    paths = _paths(result.config)
    if not result.slow:
        return _no_flow_mode(result) if is_flow(result) else _no_slow_mode(result, paths)
    if not is_flow(result) and result.gap is not None and result.gap.after is None:
        return _no_gap(result, paths)
    return None


def _paths(config: Mapping[str, Any]) -> str:
    paths = [shlex.quote(str(p)) for p in config.get("paths", ())]
    top = config.get("read", {}).get("top")
    told = paths[:3] + (["..."] if len(paths) > 3 else [])
    return " ".join([*(told or ["PATH"]), *(["--top", shlex.quote(str(top))] if top else [])])


def _no_slow_mode(result: FitResult, paths: str) -> Help:
    lag = lag_text(result.model.lag)
    return Help(
        "No slow mode",
        (
            (
                f"Nothing in these {counted(result.input.features, 'feature')} stays correlated "
                f"over {lag} in "
                "a way that data held out from the fit confirm. The tables below describe noise, "
                "or processes faster than the lag."
            ),
            (
                "There are three common reasons: the lag is longer than the slowest process; the "
                "features do not see the process; or it happens too rarely in these data to be "
                "learned from one part and confirmed in another."
            ),
        ),
        (
            (
                "Look at shorter lags. A timescale below its lag cannot be told from zero.",
                f"koopman timescales {paths} --lag 1:50",
            ),
            (
                "Let held-out scores compare features and models at a shorter lag.",
                f"koopman vamp-score {paths} --features auto --lag 1 --dim 1:5",
            ),
            (
                (
                    "Count the events yourself: plot a feature in which you expect the process. "
                    "With fewer than about ten transitions no method can confirm it."
                ),
                "",
            ),
        ),
    )


#: A setting that the reason of a verdict names.
CURE = re.compile(r"\((--set [a-z]+=\w+)\)")


def ranks_command(result: FitResult) -> str:
    """The command that compares smaller ranks of a flow, on its files as they were read."""
    model, config, said = result.model, result.config, "compare ranks with "
    for warning in result.warnings:
        if said in warning:
            return warning.partition(said)[2]
    known = {f.name for f in fields(ReadOptions)}
    told = {name: value for name, value in config.get("read", {}).items() if name in known}
    read = ReadOptions(**told | {"var": tuple(told.get("var") or ())})
    command = rank_command(model.family, model.rank, model.lag.frames)
    features = config.get("fit", {}).get("features")
    more = {"features": None if features in ("field", "identity") else features}
    return completed(command, [str(p) for p in config.get("paths", ())], read, more, {})


def flow_cure(result: FitResult) -> str:
    """What applies to a flow without a resolved mode: a setting that the reason of a mode names,
    the part after a transient, or ranks.
    """
    changing = ("a transient", "change along the way")
    told = [*result.warnings, *(mode.reason for mode in result.modes)]
    cures = dict.fromkeys(c for mode in result.modes for c in CURE.findall(mode.reason))
    if cures:
        return f"add {' or '.join(cures)}, as the reasons say"
    if any(word in text for text in told for word in changing):
        return "cut the transient off with --begin"
    return f"compare ranks: {ranks_command(result)}"


def _no_flow_mode(result: FitResult) -> Help:
    return Help(
        "No mode of the flow is resolved",
        (
            (
                "No oscillation, growth or decay of this model is held up by its interval, by "
                "steadiness along the data and by data held out from the fit. The table of modes "
                "gives the reason for each."
            ),
        ),
        (
            (
                "See how many POD modes held-out data support, and fit with that --set rank.",
                ranks_command(result),
            ),
            (
                (
                    "If the flow changes along the data, fit the part in which it is steady: "
                    "--begin and --end cut it out."
                ),
                "",
            ),
        ),
    )


def _no_gap(result: FitResult, paths: str) -> Help:
    gap = result.gap
    assert gap is not None
    resolved = len(_resolved(result))
    head = (
        f"{spelled(resolved, 'mode').capitalize()} of this model "
        f"{'is' if resolved == 1 else 'are'} resolved, but no timescale stands out from "
        f"the next one by a ratio surely above 2.5 ({gap.reason})."
    )
    own_count = (
        (
            "Ask for a number of states of your own; it is labelled as such, and the "
            "Chapman-Kolmogorov test tells whether it holds."
        ),
        "koopman states RUN --count 3",
    )
    return Help(
        "No spectral gap",
        (
            head if resolved else f"No mode of this model is resolved ({gap.reason}).",
            (
                "So the number of metastable states is not determined by these data, and a model "
                "truncated anywhere may be inaccurate: what is left out is nearly as slow as what "
                "is kept. Many systems have no gap, diffusion in one well among them. The modes "
                "themselves, their timescales and the slow coordinates stay meaningful."
            ),
        ),
        (
            # Without a resolved mode there is nothing to divide into states.
            *((own_count,) if resolved else ()),
            (
                "See whether a longer lag separates the timescales.",
                f"koopman timescales {paths} --lag 1:100",
            ),
            (
                "Richer features or a richer model raise slow timescales more than fast ones.",
                (
                    f"koopman vamp-score {paths} --features auto --model auto "
                    f"--lag {result.model.lag.frames}"
                ),
            ),
        ),
    )
