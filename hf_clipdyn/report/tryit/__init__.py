"""The part "Try it" of the page: what every epoch of a small CLIP answers to an image of the reader's.

`part.payload` reads the models. The page runs them without a network (`model.js`), draws their answers (`tryit.js`) and
a map of the embeddings (`map.js`).
"""
