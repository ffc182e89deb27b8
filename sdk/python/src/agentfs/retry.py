"""Which requests are retried, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import AgentFSError

__all__ = ["RetryPolicy"]


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call retries and how long it waits. All times are in seconds.

    A call retries if there was no answer (the connection failed or timed out), or if the answer was 429, 502, 503 or 504,
    unless the server says that a retry cannot succeed. All attempts of a write have one idempotency key, so it happens once.
    """

    max_retries: int = 5
    """The most retries of a call."""
    first_wait: float = 0.25
    """The wait before the first retry. It doubles with each retry, with jitter: a random part from half to all of it."""
    longest_wait: float = 8.0
    """The upper bound of the doubled wait."""
    max_wait: float = 90.0
    """The most that a call waits in total. If `Retry-After` exceeds it, as for a daily quota, the call raises at once."""
    random: Callable[[], float] = random.random
    """The source of jitter: returns a number from 0 to 1."""

    def wait(self, error: AgentFSError, retries: int, waited: float) -> float | None:
        """The wait before the next retry, after `retries` retries that `waited` so long in total; None means to raise the error."""
        if not error.retryable or retries >= self.max_retries:
            return None
        wait = (error.retry_after or 0.0) + self.backoff(retries)
        return wait if waited + wait <= self.max_wait else None

    def backoff(self, retries: int) -> float:
        """The wait before a retry, without `Retry-After`."""
        return min(self.first_wait * 2.0**retries, self.longest_wait) * (0.5 + self.random() / 2)
