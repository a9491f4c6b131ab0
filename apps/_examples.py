# ruff: noqa: E501  (a line of a plan is a line)
"""Worked examples of plans over the assistant's tools, for the planner's prompt.

One for each way in which calls hang together. An example is shown only where all its tools are offered.
"""

from __future__ import annotations

from plait.planners import Plan, PlanExample, parse_plan

_EXAMPLES = {
    "Set up a project review with Ines and Tom Baker on March 4 2026 from 3 to 4:30 pm in room 12": """\
1. get_email_address(name="Ines")
2. get_email_address(name="Tom Baker")
3. create_calendar_event(title="Project review", start_date="2026-03-04 15:00", end_date="2026-03-04 16:30", location="room 12", invitees=[$1, $2])
4. join()""",
    "summarize lease.pdf and put that into a new note Lease, and add the summary of rules.pdf to my House note": """\
1. open_and_get_file_path(file_name="lease.pdf")
2. summarize_pdf(pdf_path=$1)
3. create_note(name="Lease", content=$2)
4. open_and_get_file_path(file_name="rules.pdf")
5. summarize_pdf(pdf_path=$4)
6. append_note_content(name="House", content=$5)
7. join()""",
    "save ravi's number and email in a note called Ravi": """\
1. get_phone_number(name="Ravi")
2. get_email_address(name="Ravi")
3. create_note(name="Ravi", content="Phone: ${1}, email: ${2}")
4. join()""",
    "dentist on june 2 2026 at 7 in the morning, and remind me of it the day before at 6 pm": """\
1. create_calendar_event(title="Dentist", start_date="2026-06-02 07:00")
2. create_reminder(name="Dentist tomorrow", due_date="2026-06-01 18:00")
3. join()""",
    "what does my packing list say": """\
1. open_note(name="packing list")
2. join()""",
    "book me a flight to Lisbon": "1. join()",
}


def assistant_examples() -> list[PlanExample]:
    """The examples, in the order in which they are shown."""
    return [PlanExample(query, Plan(tuple(parse_plan(text)))) for query, text in _EXAMPLES.items()]
