"""What a spectrum means: lags, modes and verdicts, noise floor, projection."""
