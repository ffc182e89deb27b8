"""All that a client does, without any input or output: the drivers of `_async` and `_sync` send what is built here.

What takes requests is a flow: a generator that yields each request to send and is sent its reply. So retries, pages and edits are
written once, for both clients.
"""
