"""Every warning explained: what it means, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """What a kind of warning means.

    pattern : found in the text of the warning
    title : a few words; meaning : what it says of the result; cure : what to do
    """

    pattern: str
    title: str
    meaning: str
    cure: str


#: First match wins.
ADVICE = (
    Advice(
        r"not told from a random walk",
        "Slower than the data are long",
        "The slowest motion is still going on when the data end, so it may as well be a drift "
        "that never returns: it has no timescale, and no states.",
        "Longer data, or more runs from different starts. Where the start is not equilibrated, "
        "cut it off (--begin).",
    ),
    Advice(
        r"no slow mode",
        "No slow mode",
        "Nothing in these features relaxes more slowly than the lag and better than chance on "
        "data that were held out. The numbers are written, but they describe noise.",
        "Try a shorter lag, other features (koopman vamp-score PATH --features auto), or more "
        "data. If the process of interest happened only once or twice, no method can score it.",
    ),
    Advice(
        r"no mode of this flow",
        "No mode of this flow",
        "A flow is fitted as a sum of oscillations, growth and decay. Of none of them do the data "
        "tell that it is there: held-out snapshots do not support it, or its period or growth "
        "rate is not determined.",
        "Compare ranks on held-out data (koopman vamp-score PATH --set dmd.rank=5,10,20 --dim "
        "5,10,20) and fit with the best, --set rank=. If the flow changes along the data, fit the "
        "part after the transient (--begin). The table of modes gives the reason for each.",
    ),
    Advice(
        r"over-fits",
        "The rank fits noise",
        "On data that were held out the modes keep less than half of what they score on the data "
        "they were fitted to: many of them describe accidents of these frames.",
        "The command in the warning compares smaller ranks on held-out data; fit with the best of "
        "them, --set rank=.",
    ),
    Advice(
        r"change along the way",
        "One linear model does not fit all of it",
        "Held-out stretches are described much worse than the rest, by more than the number of "
        "functions explains: the flow is another one there.",
        "Fit the part after the transient (--begin, --end), or --anomaly and --detrend where a "
        "cycle or a trend goes on beneath.",
    ),
    Advice(
        r"error bars are unreliable",
        "Too few independent blocks",
        "Intervals come from comparing stretches of data of three times the slowest timescale. "
        "With fewer than twenty of them the spread between them is itself poorly known, and the "
        "true value lies outside the interval more often than one time in twenty.",
        "Read the intervals as orders of magnitude. Longer or further trajectories are the only "
        "cure.",
    ),
    Advice(
        r"as strong as the rest",
        "Parts of the flow differ in size",
        "A mode of the flow is more than twice, or less than half, as strong in the parts that are "
        "held out as in the rest: it decays, grows or comes and goes. Scores compare variances, so "
        "they measure that and not the model.",
        "Look at forecasts (koopman forecast RUN) and residuals instead. Of a flow that settles, "
        "fit the transient and what follows apart (--begin, --end).",
    ),
    Advice(
        r"holds? too few events to judge",
        "Events are too rare to be held out",
        "In these folds a slow mode varies more than twice, or less than half, as much as in the "
        "rest of the data: most visits to a rare state lie in one stretch. The held-out score "
        "then measures luck.",
        "Do not rank models by this score. More data with more transitions, or a shorter list of "
        "modes (--dim).",
    ),
    Advice(
        r"differs? between folds by more than|\(drift|a trend, not a mode",
        "The mean drifts",
        "The mean of some features changes along the data by more than chance allows. A slow "
        "function may then follow the drift, which is no relaxation of the system.",
        "Cut the start off (--begin), remove a trend (--detrend linear for fields), or look "
        "whether the run is equilibrated.",
    ),
    Advice(
        r"noise in the frames shortens",
        "Decay times are too short",
        "Plain DMD takes the snapshots for exact. Noise in them shrinks every eigenvalue, the more "
        "the shorter the lag, so the decay time grows with the lag where it should not.",
        "A longer lag or delays; total least squares or optimised DMD if only sensors are noisy.",
    ),
    Advice(
        r"delay window is not symmetric",
        "Delay windows are not symmetric in time",
        "The frames before a frame become, reversed in time, the frames after it. So a pair of "
        "windows differs from itself reversed even where the process does not, and a reversible "
        "model of windows makes timescales too long.",
        "--model tica --set reversible=false needs no symmetry; or features without delays.",
    ),
    Advice(
        r"not symmetric in time",
        "The dynamics are not reversible",
        "Singular values of such data are coherences: how much of a function survives the lag. "
        "They have no timescale, and metastable states from them would need detailed balance.",
        "Read them as coherences; for oscillations use --model edmd --set solve=eig, or dmd for "
        "fields. If the system should be reversible, the data are too short to show it.",
    ),
    Advice(
        r"contradict",
        "The modes contradict reversibility",
        "The correlation of a fixed function falls in a way that no reversible process allows, "
        "by many standard errors. Timescales of a reversible model are then meaningless and "
        "are not given.",
        "Use a model of driven systems: --model vamp, or edmd with --set solve=eig.",
    ),
    Advice(
        r"never (been )?crossed|no trajectory|disconnected|visited by",
        "A mode that no trajectory crosses",
        "The slowest function tells trajectories apart instead of describing a process: none of "
        "them ever goes from one side to the other. Its timescale is not in the data.",
        "Trajectories that connect the two sides, or a model of each part on its own.",
    ),
    Advice(
        r"delay windows reach back",
        "Delay windows overlap the lag",
        "Both ends of a lagged pair contain the same frames, so that part of each eigenvalue "
        "only says that a frame equals itself.",
        "A lag longer than the window of delays, or fewer delays.",
    ),
    Advice(
        r"^lag .*|not converged|still (rise|grow)|timescales .*lag",
        "The lag is not converged",
        "The implied timescales still change where the lag was taken, so the model is not yet "
        "Markovian there: timescales tend to be too short.",
        "See the figure of implied timescales; take a longer lag if the data allow, or better "
        "features. koopman timescales RUN shows where they become constant.",
    ),
    Advice(
        r"Chapman-Kolmogorov test failed",
        "The states are not Markovian",
        "Powers of the transition matrix of the states miss what the data do at longer lags by "
        "more than chance allows. Populations, lifetimes and passage times come from that "
        "matrix and are not to be trusted; the slow functions themselves may still be fine.",
        "A longer --lag, more features or richer functions, until the test passes. A "
        "deviation of a few hundredths matters less than one of tenths, however small "
        "p is.",
    ),
    Advice(
        r"dim \d+ reduced",
        "Fewer functions than asked for",
        "The data do not have that many independent directions.",
        "Nothing, or richer features.",
    ),
    Advice(
        r"folds .* reduced|folds could not be scored",
        "Fewer folds",
        "There are fewer independent blocks of data than folds were asked for, or a fold could "
        "not be scored by itself. The held-out score rests on the folds that remain.",
        "A shorter lag or more data; --folds sets the number.",
    ),
    Advice(
        r"Koopman reweighting",
        "Negative weights",
        "Reweighting data started out of equilibrium estimates a density; a negative weight "
        "shows that the estimate is rough.",
        "Fewer features, or more data.",
    ),
    Advice(
        r"not finite|incomplete (frames|and)",
        "Frames were left out",
        "Some frames hold NaN or infinite values. They were removed, and no lagged pair crosses "
        "the hole.",
        "Find out where they come from; a simulation that produced NaN should not be trusted "
        "from that frame on.",
    ),
    Advice(
        r"header says|ends inside|readable|cut",
        "A file is shorter than it says",
        "The file was cut, by a full disk or a run that is still writing. Only its complete "
        "frames are used.",
        "Copy the file again, or wait for the run to end.",
    ),
    Advice(
        r"no time step|overrides the|taken to be the",
        "The time step is not certain",
        "The file keeps no time step, or one that disagrees with what was given. Every time in "
        "this report is proportional to it.",
        "Give --dt, and compare with the settings of the simulation.",
    ),
    Advice(
        r"particles at .* times",
        "Particles in a plane or a field",
        "An array of three axes without names may be a field of two columns, or the paths of "
        "particles in two dimensions; it was read as the former.",
        "--ensemble reads it as particles, a short run each; --kind field says that it is a field.",
    ),
    Advice(
        r"axis",
        "Which axis is time was guessed",
        "The shape of an array does not say which axis is time.",
        "Check the number of frames; --time-axis names the axis.",
    ),
    Advice(
        r"bonded atoms",
        "Atoms are not where bonds are",
        "Either the topology names the atoms of another system, or of this one in another order, "
        "and features are of atoms other than they say; or molecules were cut where they leave "
        "the periodic box.",
        "Give the --top that the trajectory was written with. Molecules that are cut are made "
        "whole by the program that wrote them; torsions and distances are right without.",
    ),
    Advice(
        r"unit cell",
        "No unit cell",
        "Some frames have no periodic box, so distances there are not to the nearest image.",
        "Nothing, if the molecule was made whole when the file was written.",
    ),
    Advice(
        r"skipped|too short|shorter than",
        "Trajectories were left out",
        "They have fewer frames than one lagged pair needs.",
        "A shorter lag, or leave these files out.",
    ),
    Advice(
        r"lost|precision|float32",
        "Precision",
        "Numbers were stored or multiplied in single precision, which limits how small a "
        "singular value can be told from rounding.",
        "--precision float64, or data in double precision.",
    ),
    Advice(
        r"lies? outside the domain",
        "Outside the domain of the model",
        "The model was never shown such frames; their coordinates are extrapolated.",
        "Do not interpret them, or fit again with these data included.",
    ),
)

_OTHER = Advice("", "Note", "", "")


def explain(warning: str) -> Advice:
    """The advice for a warning; an empty one where none fits.

    >>> explain("no slow mode in these features at this lag").title
    'No slow mode'
    >>> explain("something else").meaning
    ''
    """
    return next((a for a in ADVICE if re.search(a.pattern, warning)), _OTHER)
