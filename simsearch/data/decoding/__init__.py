"""From the bytes of an image file, of whatever kind and from whomever, to pixels."""
