"""Filters: a small language, parsed into a tree that each engine renders in its own words.

label = 'cookie' and not (price > 3.5 or colour in ('red', 'blue'))

A comparison with a value that an image does not have, or has in another type, is false; `not`
turns that into true. Numbers compare as float64, text by code points.
"""
