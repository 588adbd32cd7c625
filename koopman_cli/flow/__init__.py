"""From a solved model of a field to what it says in the field's own space.

A snapshot is x(t) = b(t) C + sum_j psi_j(x(t)) v_j + rest: the known part (anomalies, trend),
the modes v_j with their functions psi_j, and what the POD left out. Modes come from one small
regression in the coordinates of :mod:`koopman_cli.features.snapshots` and one pass over the
field; forecasts replace psi_j by lambda_j^(s / lag) psi_j.
"""
