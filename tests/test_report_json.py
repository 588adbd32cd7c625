"""summary.json and config.toml: the schema, key by key, and no number that is not one."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import report_fixtures as made

from koopman_cli.errors import FileError, UsageError
from koopman_cli.report.config import read_config, write_config
from koopman_cli.report.json import dumps, summary, write_json
from koopman_cli.types import Mode, Quantity, ScoreEntry

NUMBER = (int, float)
NONE = type(None)

Q = {"value": NUMBER, "low": (*NUMBER, NONE), "high": (*NUMBER, NONE), "unit": str}
MAYBE_Q = (Q, None)
MAYBE = (*NUMBER, NONE)
ENTRY = {"train": NUMBER, "test": MAYBE, "stderr": MAYBE}
LAG = {"frames": int, "value": NUMBER, "unit": str}
SCHEMA = {
    "schema": int,
    "version": str,
    "seed": int,
    "input": {
        "kind": {"md", "field", "array"},
        "files": [{"path": str, "sha256": str, "frames": int}],
        "frames": int,
        "features": int,
        "dt": ({"value": NUMBER, "unit": str}, None),
    },
    "model": {
        "family": str,
        "lag": LAG,
        "dim": int,
        "rank": int,
        "pairs": int,
        "settings": dict,
    },
    "score": ({"vamp2": ENTRY, "vampe": ENTRY, "folds": int}, None),
    "modes": [
        {
            "index": int,
            "eigenvalue": ([NUMBER], None),
            "singular_value": MAYBE,
            "eigenvalue_low": MAYBE,
            "eigenvalue_high": MAYBE,
            "timescale": MAYBE_Q,
            "period": MAYBE_Q,
            "frequency": MAYBE_Q,
            "growth": MAYBE_Q,
            "amplitude": MAYBE_Q,
            "residual": MAYBE,
            "spectral_bias": MAYBE,
            "certificate": (
                {
                    "low": MAYBE,
                    "high": MAYBE,
                    "kind": {"kato-temple", "residual"},
                    "guaranteed": {"low": MAYBE, "high": MAYBE},
                },
                None,
            ),
            "verdict": {"resolved", "unresolved", "invalid"},
            "reason": str,
        }
    ],
    "coherent_sets": ({"count": int, "shares": [NUMBER], "kept": [NUMBER]}, None),
    "gap": ({"after": (int, NONE), "ratio": MAYBE_Q, "resolved": bool, "reason": str}, None),
    "states": NONE,
    "warnings": [str],
}


def conform(value, schema, where="summary"):
    """Exactly these keys, of these types: dict, list of, one of, type, or (schema, None)."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        assert value.keys() == schema.keys(), where
        for key, inner in schema.items():
            conform(value[key], inner, f"{where}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for i, item in enumerate(value):
            conform(item, schema[0], f"{where}[{i}]")
    elif isinstance(schema, set):
        assert value in schema, where
    elif isinstance(schema, tuple) and schema[-1] is None:
        if value is not None:
            conform(value, schema[0], where)
    else:
        kinds = schema if isinstance(schema, tuple) else (schema,)
        assert type(value) in kinds, f"{where}: {value!r}"
        assert not isinstance(value, float) or math.isfinite(value), where


RESULTS = {
    "md": made.result(),
    "flow": made.complex_result(),
    "bare": made.result(score=None, gap=None, modes=(), lag_scan=None, projection=None),
    "svd": made.result(modes=(Mode(1, None, singular_value=0.8),)),
    "not finite": made.result(
        modes=(
            Mode(1, complex(math.nan, 0), timescale=Quantity(math.inf, unit="ps")),
            Mode(2, 0.5 + 0j, timescale=Quantity(1.0, -math.inf, math.nan, "ps")),
        ),
        model=made.model(settings={"rtol": math.nan, "deep": ({"x": math.inf},)}),
        score=replace(made.score(2, 1.8, 1.9), vampe=ScoreEntry(1.9, -math.inf, math.nan)),
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_schema(name):
    """Every key of the contract and no other, each of its type, for every kind of result."""
    told = json.loads(dumps(summary(RESULTS[name])))
    assert told.keys() == SCHEMA.keys()
    conform(told, SCHEMA)


def test_the_check_can_fail():
    """The check above refuses a missing key, an extra key, a wrong type and NaN."""
    good = summary(made.result())
    for bad in (
        {k: v for k, v in good.items() if k != "gap"},
        good | {"extra": 1},
        good | {"seed": "7"},
        good | {"score": good["score"] | {"folds": 2.0}},
        good | {"warnings": [1]},
        good | {"modes": [good["modes"][0] | {"residual": math.nan}]},
    ):
        with pytest.raises(AssertionError):
            conform(bad, SCHEMA)


def test_values():
    """Numbers are those of the result; complex numbers are [re, im]; undefined is null."""
    told = summary(made.result())
    assert told["modes"][0]["eigenvalue"] == [0.86, 0.0]
    assert told["modes"][0]["timescale"] == {
        "value": 33.2,
        "low": 27.1,
        "high": 41.0,
        "unit": "ps",
    }
    assert told["modes"][2]["timescale"] is None
    assert told["score"]["vampe"] == {"train": 1.9, "test": 1.84, "stderr": 0.05}
    assert told["model"]["lag"] == {"frames": 5, "value": 5.0, "unit": "ps"}
    assert told["gap"]["after"] == 1
    assert told["input"]["files"][1] == {"path": "rün 2.xtc", "sha256": "cd" * 32, "frames": 49500}
    assert summary(made.complex_result())["input"]["dt"] is None
    assert "seconds" not in dumps(told)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_is_never_written(value, tmp_path):
    """write_json refuses a number that is none, and leaves no file."""
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": [value]}, tmp_path / "s.json")
    assert not list(tmp_path.iterdir())


def test_config_comes_back(tmp_path):
    """Settings survive TOML; options that were not given are left out; tuples become lists."""
    config = {
        "paths": ["a b.xtc", "ü.xtc"],
        "top": None,
        "lag": "5ns",
        "settings": {"rtol": 1e-10, "layers": (64, 64), "tica": {"reversible": True}},
        "empty": [],
    }
    write_config(config, tmp_path / "c.toml")
    back = read_config(tmp_path / "c.toml")
    del config["top"]
    config["settings"]["layers"] = [64, 64]
    assert back == config


@pytest.mark.parametrize("content", [b"lag = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_config_that_is_no_toml(content, tmp_path):
    """A broken config is a usage error that names the file."""
    (tmp_path / "c.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"c\.toml"):
        read_config(tmp_path / "c.toml")


def test_config_missing(tmp_path):
    """A config that is not there is a file error."""
    with pytest.raises(FileError, match="no such file"):
        read_config(tmp_path / "c.toml")
