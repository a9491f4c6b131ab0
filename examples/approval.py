"""Calls that need an approval: shown with their real arguments, and decided on by rule or by a person.

    python examples/approval.py

Reads run ahead of the question, writes wait for the answer, and what is declined is never called.
"""

from collections.abc import Callable

from plait import Agent, ChatModel, Plan, PlanExample, Run, tool
from plait.orchestrator import ApprovalRequest, PendingCall
from plait.planners import parse_plan
from plait.tools import call_in_thread

REQUEST = "Refund the total of order 1042 and email its customer how much we refunded."
APPROVED_UP_TO_EUROS = 50.0

# Small models follow a worked example better than any rule: here, that results are passed on.
EXAMPLES = [
    PlanExample(
        "Refund what order 977 cost and write that to its customer.",
        Plan(
            tuple(
                parse_plan("""\
1. order_total(order=977)
2. customer_email(order=977)
3. refund(order=977, amount=$1)
4. send_email(to=$2, subject="Order 977", text="We have refunded the ${1} euros of order 977.")
5. join()""")
            )
        ),
    )
]

ORDERS = {1042: ("maya@example.org", 36.40), 1043: ("tom@example.org", 180.00)}


@tool(read_only=True)
def order_total(order: int) -> float:
    """The total of an order, in euros."""
    return ORDERS[order][1]


@tool(read_only=True)
def customer_email(order: int) -> str:
    """The email address of the customer who placed an order."""
    return ORDERS[order][0]


@tool(read_only=False, destructive=True)
def refund(order: int, amount: float) -> str:
    """Refund an amount in euros of an order."""
    return f"Refunded {amount:.2f} euros of order {order}"


@tool(read_only=False, open_world=True)
def send_email(to: str, subject: str, text: str) -> str:
    """Send an email."""
    return f"Sent {subject!r} to {to}"


def is_small_refund(call: PendingCall) -> bool:
    # An amount that is still to come stands in the arguments as a reference, which is no number.
    amount = call.arguments.get("amount")
    return call.tool.name == "refund" and isinstance(amount, float) and amount <= APPROVED_UP_TO_EUROS


def main(model: ChatModel | str = "qwen2.5-coder-1.5b", ask: Callable[[str], str] = input) -> Run:
    async def approve(request: ApprovalRequest) -> set[int]:
        """The numbers of the calls that may be made; the question does not hold up the event loop."""
        approved = set()
        for call in request.calls:
            mark = " (with text that others wrote)" if call.untrusted else ""
            print(f"{call.task.id}. {call.tool.name} {dict(call.arguments)}{mark}")
            if is_small_refund(call):
                print("   approved: a small refund")
                approved.add(call.task.id)
            elif (await call_in_thread(lambda: ask("   make this call? [y/n] "), {})).strip() == "y":
                approved.add(call.task.id)
        return approved

    tools = [order_total, customer_email, refund, send_email]
    agent = Agent(model, tools, examples=EXAMPLES, policy="writes", approve=approve)
    run = agent.run_sync(REQUEST)
    print(run.answer or run.error)
    return run


if __name__ == "__main__":
    main()
