import asyncio

from agents import Agent, Runner

from agentfs import AgentFS
from agentfs.openai import AgentFSSession

session = AgentFSSession("chat-17", AgentFS(agent="ada"))
assistant = Agent(name="assistant", instructions="Answer in one sentence.")
print(Runner.run_sync(assistant, "I am allergic to peanuts.", session=session).final_output)
print(Runner.run_sync(assistant, "What may I not eat?", session=session).final_output)
print(len(asyncio.run(session.get_items())))
