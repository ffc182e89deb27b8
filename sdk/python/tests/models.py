"""An API of models that says always the same: it remembers, if it has a tool for that, and answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = "You may not eat peanuts."
FILE = "/memories/food.md"
TEXT = "Allergic to peanuts.\n"
TOOLS = {
    "memory": {"command": "create", "path": FILE, "file_text": TEXT},
    "write_file": {"file_path": FILE, "content": TEXT},
}


class Models(BaseHTTPRequestHandler):
    """Speaks the Messages API of Anthropic and the Responses API of OpenAI."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = message(request) if self.path.startswith("/v1/messages") else response(request)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def message(request: dict[str, Any]) -> dict[str, Any]:
    named = {tool["name"] for tool in request.get("tools", ())} & TOOLS.keys()
    answered = "tool_result" in json.dumps(request["messages"][-1]["content"])
    content: list[dict[str, Any]] = [{"type": "text", "text": ANSWER}]
    if named and not answered:
        name = named.pop()
        content = [{"type": "tool_use", "id": "toolu_1", "name": name, "input": TOOLS[name]}]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": content,
        "stop_reason": "end_turn" if content[0]["type"] == "text" else "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def response(request: dict[str, Any]) -> dict[str, Any]:
    part = {"type": "output_text", "text": ANSWER, "annotations": [], "logprobs": []}
    said = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": request["model"],
        "status": "completed",
        "output": [{**said, "content": [part]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 1,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 1,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 2,
        },
    }


@contextmanager
def models() -> Iterator[dict[str, str]]:
    """The variables with which the SDKs find it, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Models)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield {
            "ANTHROPIC_API_KEY": "key",
            "ANTHROPIC_BASE_URL": url,
            "OPENAI_API_KEY": "key",
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            "LANGSMITH_TRACING": "false",
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
