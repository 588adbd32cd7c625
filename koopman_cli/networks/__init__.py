"""Networks: many small ones trained as one batched computation, with torch.

A *stack* holds the parameters of S networks of one shape as one (S, P) matrix; every product is
a batched product over the stack. Restarts, folds and settings of one shape are rows of it.
"""
