"""What reports cite: BibTeX entries, and which of them a family of models stands on."""

from __future__ import annotations

from koopman_cli.models.citations import CITATIONS

#: Entries by key: kind, then fields.
BIBLIOGRAPHY: dict[str, tuple[str, dict[str, str]]] = {
    "perezhernandez2013": (
        "article",
        {
            "author": "P{\\'e}rez-Hern{\\'a}ndez, Guillermo and Paul, Fabian and Giorgino, Toni "
            "and De Fabritiis, Gianni and No{\\'e}, Frank",
            "title": "Identification of slow molecular order parameters for {Markov} model "
            "construction",
            "journal": "J. Chem. Phys.",
            "volume": "139",
            "pages": "015102",
            "year": "2013",
            "doi": "10.1063/1.4811489",
        },
    ),
    "wu2020": (
        "article",
        {
            "author": "Wu, Hao and No{\\'e}, Frank",
            "title": "Variational approach for learning {Markov} processes from time series data",
            "journal": "J. Nonlinear Sci.",
            "volume": "30",
            "pages": "23--66",
            "year": "2020",
            "doi": "10.1007/s00332-019-09567-y",
        },
    ),
    "williams2015": (
        "article",
        {
            "author": "Williams, Matthew O. and Kevrekidis, Ioannis G. and Rowley, Clarence W.",
            "title": "A data-driven approximation of the {Koopman} operator: extending dynamic "
            "mode decomposition",
            "journal": "J. Nonlinear Sci.",
            "volume": "25",
            "pages": "1307--1346",
            "year": "2015",
            "doi": "10.1007/s00332-015-9258-5",
        },
    ),
    "williams2015kernel": (
        "article",
        {
            "author": "Williams, Matthew O. and Rowley, Clarence W. and Kevrekidis, Ioannis G.",
            "title": "A kernel-based method for data-driven {Koopman} spectral analysis",
            "journal": "J. Comput. Dyn.",
            "volume": "2",
            "pages": "247--265",
            "year": "2015",
            "doi": "10.3934/jcd.2015005",
        },
    ),
    "tu2014": (
        "article",
        {
            "author": "Tu, Jonathan H. and Rowley, Clarence W. and Luchtenburg, Dirk M. and "
            "Brunton, Steven L. and Kutz, J. Nathan",
            "title": "On dynamic mode decomposition: theory and applications",
            "journal": "J. Comput. Dyn.",
            "volume": "1",
            "pages": "391--421",
            "year": "2014",
            "doi": "10.3934/jcd.2014.1.391",
        },
    ),
    "askham2018": (
        "article",
        {
            "author": "Askham, Travis and Kutz, J. Nathan",
            "title": "Variable projection methods for an optimized dynamic mode decomposition",
            "journal": "SIAM J. Appl. Dyn. Syst.",
            "volume": "17",
            "pages": "380--416",
            "year": "2018",
            "doi": "10.1137/M1124176",
        },
    ),
    "mardt2018": (
        "article",
        {
            "author": "Mardt, Andreas and Pasquali, Luca and Wu, Hao and No{\\'e}, Frank",
            "title": "{VAMPnets} for deep learning of molecular kinetics",
            "journal": "Nat. Commun.",
            "volume": "9",
            "pages": "5",
            "year": "2018",
            "doi": "10.1038/s41467-017-02388-1",
        },
    ),
    "chen2019": (
        "article",
        {
            "author": "Chen, Wei and Sidky, Hythem and Ferguson, Andrew L.",
            "title": "Nonlinear discovery of slow molecular modes using state-free reversible "
            "{VAMPnets}",
            "journal": "J. Chem. Phys.",
            "volume": "150",
            "pages": "214114",
            "year": "2019",
            "doi": "10.1063/1.5092521",
        },
    ),
    "prinz2011": (
        "article",
        {
            "author": "Prinz, Jan-Hendrik and Wu, Hao and Sarich, Marco and Keller, Bettina and "
            'Senne, Martin and Held, Martin and Chodera, John D. and Sch{\\"u}tte, Christof and '
            "No{\\'e}, Frank",
            "title": "{Markov} models of molecular kinetics: generation and validation",
            "journal": "J. Chem. Phys.",
            "volume": "134",
            "pages": "174105",
            "year": "2011",
            "doi": "10.1063/1.3565032",
        },
    ),
    "mcgibbon2015": (
        "article",
        {
            "author": "McGibbon, Robert T. and Pande, Vijay S.",
            "title": "Variational cross-validation of slow dynamical modes in molecular kinetics",
            "journal": "J. Chem. Phys.",
            "volume": "142",
            "pages": "124105",
            "year": "2015",
            "doi": "10.1063/1.4916292",
        },
    ),
    "kunsch1989": (
        "article",
        {
            "author": 'K{\\"u}nsch, Hans R.',
            "title": "The jackknife and the bootstrap for general stationary observations",
            "journal": "Ann. Stat.",
            "volume": "17",
            "pages": "1217--1241",
            "year": "1989",
            "doi": "10.1214/aos/1176347265",
        },
    ),
    "roblitz2013": (
        "article",
        {
            "author": 'R{\\"o}blitz, Susanna and Weber, Marcus',
            "title": "Fuzzy spectral clustering by {PCCA+}: application to {Markov} state models "
            "and data classification",
            "journal": "Adv. Data Anal. Classif.",
            "volume": "7",
            "pages": "147--179",
            "year": "2013",
            "doi": "10.1007/s11634-013-0134-6",
        },
    ),
    "kato1949": (
        "article",
        {
            "author": "Kato, Tosio",
            "title": "On the upper and lower bounds of eigenvalues",
            "journal": "J. Phys. Soc. Jpn.",
            "volume": "4",
            "pages": "334--339",
            "year": "1949",
            "doi": "10.1143/JPSJ.4.334",
        },
    ),
    "colbrook2024": (
        "article",
        {
            "author": "Colbrook, Matthew J. and Townsend, Alex",
            "title": "Rigorous data-driven computation of spectral properties of {Koopman} "
            "operators for dynamical systems",
            "journal": "Commun. Pure Appl. Math.",
            "volume": "77",
            "pages": "221--283",
            "year": "2024",
            "doi": "10.1002/cpa.22125",
        },
    ),
    "mcgibbon2015mdtraj": (
        "article",
        {
            "author": "McGibbon, Robert T. and others",
            "title": "{MDTraj}: a modern open library for the analysis of molecular dynamics "
            "trajectories",
            "journal": "Biophys. J.",
            "volume": "109",
            "pages": "1528--1532",
            "year": "2015",
            "doi": "10.1016/j.bpj.2015.08.015",
        },
    ),
}


def family_citation(family: str) -> tuple[str, str]:
    """How a family is called in a sentence, and the key of its source.

    >>> family_citation("dmd")
    ('dynamic mode decomposition of POD coordinates', 'tu2014')
    """
    return CITATIONS.get(family, (family, "wu2020"))


def bibtex(keys: tuple[str, ...]) -> str:
    """Entries to paste into a .bib file, in the order given.

    >>> print(bibtex(("tu2014",)).splitlines()[0])
    @article{tu2014,
    """
    entries = []
    for key in keys:
        kind, fields = BIBLIOGRAPHY[key]
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
        entries.append("\n".join([f"@{kind}{{{key},", *lines, "}"]))
    return "\n\n".join(entries) + "\n"
