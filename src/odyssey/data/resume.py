"""A downloader for pooch that goes on where it stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

CHUNK = 1 << 14  # bytes; of one that the line breaks off, nothing is kept


class ResumingDownloader:
    """Downloads into `part`, keeps it when the line breaks, and asks only for the rest next time.

    pooch calls it as `downloader(url, output_file, pooch)`. A whole file is moved to `output_file`,
    where pooch checks its hash; `resumed` says whether it began with bytes of an earlier download,
    which may be the reason for a wrong hash. A server that ignores Range sends all of it again.
    Raises requests.RequestException; a broken connection is tried again as long as each try brings
    the file further than it ever was.
    """

    def __init__(self, part: Path, timeout: float = 30.0) -> None:
        self.part = part
        self.timeout = timeout  # seconds without a byte
        self.resumed = False

    def __call__(
        self, url: str, output_file: str, pooch: Any, check_only: bool = False
    ) -> bool | None:
        import requests

        if check_only:
            answer = requests.head(url, timeout=self.timeout, allow_redirects=True)
            return answer.status_code == 200
        self.resumed = self._have() > 0
        furthest = self._have()
        while True:
            try:
                self._get_rest(url)
                break
            except (requests.ConnectionError, requests.Timeout, _broken()):
                if self._have() <= furthest:
                    raise
                furthest = self._have()
        os.replace(self.part, output_file)
        return None

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _get_rest(self, url: str) -> None:
        """One request, for what is missing in `part`."""
        import requests

        have = self._have()
        # Ranges count the bytes that are sent, so these must be the file's own, not a gzip of them.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as answer:
            span = answer.headers.get("Content-Range", "")
            if answer.status_code == 416 and span == f"bytes */{have}":
                return  # nothing is missing
            fits = answer.status_code == 206 and span.startswith(f"bytes {have}-")
            if have and answer.status_code in (206, 416) and not fits:
                self.part.unlink()  # no part of this file
                return self._get_rest(url)
            answer.raise_for_status()
            if not fits:  # the server sends all of it
                self.resumed, have = False, 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            with (
                self.part.open("ab" if fits else "wb") as out,
                tqdm(
                    desc=Path(self.part.stem).name,
                    total=total,
                    initial=have,
                    unit="B",
                    unit_scale=True,
                ) as bar,
            ):
                for chunk in answer.iter_content(CHUNK):
                    out.write(chunk)
                    bar.update(len(chunk))
            if total is not None and self._have() < total:
                raise requests.ConnectionError(f"the connection ended at byte {self._have()}")


def _broken() -> type[Exception]:
    """What requests raises when a body ends before its time."""
    from requests.exceptions import ChunkedEncodingError

    return ChunkedEncodingError
