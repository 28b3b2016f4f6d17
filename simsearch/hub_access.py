"""Whether a hub answers, asked once before its client would retry for a minute."""

import http.client
import urllib.error
import urllib.request

from simsearch import errors

_PROBE_SECONDS = 10


def answers(url: str) -> bool:
    """Returns whether a server answers at an http or https address, in whatever words.

    Raises:
        UsageError: Where it is no such address.
    """
    try:
        request = urllib.request.Request(url, method="HEAD")
    except ValueError as error:
        raise errors.UsageError(
            f"{url} is no address: HF_ENDPOINT must begin with http:// or https://"
        ) from error
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except (OSError, http.client.HTTPException):
        return False
