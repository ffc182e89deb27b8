from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore
from typing_extensions import TypedDict

from agentfs import AgentFS
from agentfs.langgraph import AgentFSStore


class State(TypedDict):
    user: str
    said: str
    known: list[str]


def remember(state: State, *, store: BaseStore) -> dict:
    namespace = ("users", state["user"], "facts")
    store.put(namespace, state["said"][:20], {"text": state["said"]})
    found = store.search(namespace, query="food allergies")
    return {"known": [item.value["text"] for item in found]}


store = AgentFSStore(
    AgentFS(agent="assistant"), root="/langgraph", ttl={"default_ttl": 60 * 24 * 30}
)
graph = StateGraph(State)
graph.add_node("remember", remember)
graph.add_edge(START, "remember")
graph.add_edge("remember", END)
assistant = graph.compile(store=store)

state = assistant.invoke({"user": "ada", "said": "My food allergies: peanuts", "known": []})
print(state["known"])
print(store.search(("users",), filter={"text": {"$ne": ""}}, limit=5)[0].namespace)
