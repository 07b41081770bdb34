"""From a table of results to statements: contrasts, changes between revisions, verdicts.

Nothing here opens a model or draws a figure. Item intervals come from the trials that `clipdyn evaluate` kept.
"""
