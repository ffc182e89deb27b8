"""Makes a list of writes, each with a key of its own that is the same in each run. Prints a line for each item that is done.

killed_writer.py URL KEY AGENT
"""

from __future__ import annotations

import sys

from agentfs import AgentFS, Delete, Put, RetryPolicy

ITEMS = 24
PATIENT = RetryPolicy(max_retries=30, first_wait=0.01, longest_wait=0.05)


def work(fs: AgentFS, agent: str, item: int) -> None:
    """The writes of an item."""

    def key(write: str) -> str:
        return f"{agent}-{write}-{item}"

    fs.put("/counter", item, idempotency_key=key("put"))
    fs.batch(
        [
            Put(f"/batch/{item}", "one", idempotency_key=key("one")),
            Put(f"/batch/{item}", "two", idempotency_key=key("two")),
            Delete(f"/batch/{item}", idempotency_key=key("end")),
        ]
    )
    fs.put(f"/drafts/{item}", item, idempotency_key=key("draft"))
    fs.move(f"/drafts/{item}", f"/moved/{item}", idempotency_key=key("move"))
    fs.delete(f"/moved/{item}", idempotency_key=key("delete"))


def main(url: str, api_key: str, agent: str) -> None:
    """All of it, from the beginning."""
    with AgentFS(url, api_key, agent=agent, retry=PATIENT) as fs:
        for item in range(ITEMS):
            work(fs, agent, item)
            print(item, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
