"""Results: the definition of a row, the words that explain it, and the files of rows and trials."""
