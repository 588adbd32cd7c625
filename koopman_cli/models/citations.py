"""What to cite for each family."""

from __future__ import annotations

#: How a family is called in a sentence, and what to cite for it.
CITATIONS: dict[str, tuple[str, str]] = {
    "tica": ("time-lagged independent component analysis", "perezhernandez2013"),
    "vamp": ("the variational approach for Markov processes (VAMP)", "wu2020"),
    "edmd": ("extended dynamic mode decomposition", "williams2015"),
    "kedmd": ("kernel extended dynamic mode decomposition", "williams2015kernel"),
    "dmd": ("dynamic mode decomposition of POD coordinates", "tu2014"),
    "optdmd": ("optimised dynamic mode decomposition", "askham2018"),
    "vampnet": ("a VAMPnet", "mardt2018"),
    "srv": ("a state-free reversible VAMPnet", "chen2019"),
    "msm": ("a reversible maximum-likelihood Markov state model", "prinz2011"),
}
