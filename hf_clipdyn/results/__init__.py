"""Results: what one row is, the words that explain it, and the files that hold rows and trials.

Everybody who measures, keeps, compares or draws numbers uses these definitions; nobody parses a name.
"""
