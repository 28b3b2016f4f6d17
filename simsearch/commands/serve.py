"""`--mode=serve`: the web page and the REST API over an index."""

import os
from collections.abc import Mapping
from typing import Any

from simsearch import index as index_lib
from simsearch import progress
from simsearch.commands import shared


def serve(
    index: str = "lance:./index",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    version: int | None = None,
    workdir: str | os.PathLike = "runs",
    overrides: Mapping[str, Any] | None = None,
) -> None:
    """Serves an index until SIGTERM or Ctrl-C; then answers what is under way, and returns.

    Args:
        index: URL, as `Index.open` takes it.
        host: Name or address to be reached at; only from this machine where it is 127.0.0.1.
        port: 0: any free one.
        version: Of the model; None: the one that the index was made by.
        workdir: Folder of the versions.
        overrides: Fields of the version's configuration to change, such as those of its group
            `serve`.

    Raises:
        UsageError: Where the index, the version or the address cannot be had.
    """
    # A web server takes time to import, and the other modes need none.
    from simsearch.serve import server

    with (
        server.take_address(host, port) as address,
        index_lib.Index.open(
            index, version=version, workdir=workdir, overrides=overrides
        ) as opened,
    ):
        shared.start_devices(opened.embedder.config)
        progress.log.info("%d images in %s; making the model warm", opened.count(), opened.info.url)
        server.serve(opened, address, host=host)
