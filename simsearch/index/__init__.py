"""Index: a collection of images that is kept up to date and searched by any image.

with simsearch.Index.open("lance:./index", create=True) as index:
    index.sync("images")
    answer = index.search("query.jpg", top_k=8, filter="label = 'cookie'")
"""

from simsearch.index.collection import Index
from simsearch.index.record import Answer, Hit, SyncReport

__all__ = ["Answer", "Hit", "Index", "SyncReport"]
