"""Contacts, Calendar, Reminders and Messages of macOS, through their scripting interfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any

from plait.errors import AmbiguousError, ToolCallError
from plait.tools import call_in_thread
from plait.tools.assistant._calendar import NewEvent, NewReminder
from plait.tools.assistant._components import already_there
from plait.tools.assistant._contacts import Contact, ContactBook
from plait.tools.assistant._mac_undo import EVENT_STATE, REMINDER_STATE, mac_undoable
from plait.tools.assistant._match import best
from plait.tools.assistant._osascript import Script, ScriptRunner, run_json
from plait.tools.assistant._zone import local_zone

READ_CONTACTS = Script(
    "Contacts",
    "JavaScript",
    """
function run(argv) {
  const people = Application('Contacts').people;
  const [names, nicknames, organizations] = [people.name(), people.nickname(), people.organization()];
  const [emails, phones, kinds] = [people.emails.value(), people.phones.value(), people.phones.label()];
  return JSON.stringify(names.map((name, i) => ({
    name: name || '', nickname: nicknames[i] || '', organization: organizations[i] || '',
    emails: emails[i], phones: phones[i].map((value, j) => ({value: value, kind: kinds[i][j] || ''})),
  })));
}
""",
)

LIST_CALENDARS = Script(
    "Calendar",
    "JavaScript",
    """
function run(argv) {
  const calendars = Application('Calendar').calendars;
  const names = calendars.name();
  const writable = calendars.writable();
  return JSON.stringify(names.filter((name, i) => writable[i]));
}
""",
)

ADD_EVENT = Script(
    "Calendar",
    "JavaScript",
    EVENT_STATE
    + """
function run(argv) {
  const asked = JSON.parse(argv[0]);
  const app = Application('Calendar');
  const calendar = app.calendars.whose({_and: [{name: asked.calendar}, {writable: true}]})[0];
  const [start, end] = [new Date(asked.start_ms), new Date(asked.end_ms)];
  const twins = calendar.events.whose(
    {_and: [{summary: asked.title}, {startDate: start}, {endDate: end}]});
  if (twins.length > 0) return JSON.stringify({twin: true});
  const event = app.Event({summary: asked.title, startDate: start, endDate: end,
    location: asked.location, description: asked.notes});
  calendar.events.push(event);
  for (const email of asked.invitees) event.attendees.push(app.Attendee({email: email}));
  let made = {id: '', state: ''};
  try { made = {id: event.uid(), state: stateOf(event)}; } catch (error) { /* no undo */ }
  return JSON.stringify({twin: false, ...made});
}
""",
)

LIST_REMINDER_LISTS = Script(
    "Reminders",
    "JavaScript",
    """
function run(argv) {
  const app = Application('Reminders');
  const usual = app.defaultList().name();
  return JSON.stringify([usual].concat(app.lists.name().filter((name) => name !== usual)));
}
""",
)

ADD_REMINDER = Script(
    "Reminders",
    "JavaScript",
    REMINDER_STATE
    + """
function run(argv) {
  const asked = JSON.parse(argv[0]);
  const app = Application('Reminders');
  const list = app.lists.whose({name: asked.list})[0];
  const due = asked.due_ms === null ? null : new Date(asked.due_ms);
  const open = list.reminders.whose({_and: [{name: asked.name}, {completed: false}]});
  const dues = asked.all_day ? open.alldayDueDate() : open.dueDate();
  if (dues.some((other) => (other ? other.getTime() : null) === asked.due_ms))
    return JSON.stringify({twin: true});
  const facts = {name: asked.name, body: asked.notes, priority: asked.priority};
  if (due && asked.all_day) facts.alldayDueDate = due;
  if (due && !asked.all_day) Object.assign(facts, {dueDate: due, remindMeDate: due});
  const reminder = app.Reminder(facts);
  list.reminders.push(reminder);
  let made = {id: '', state: ''};
  try { made = {id: reminder.id(), state: stateOf(reminder)}; } catch (error) { /* no undo */ }
  return JSON.stringify({twin: false, ...made});
}
""",
)

SEND_MESSAGE = Script(
    "Messages",
    "AppleScript",
    """
on run argv
  set {theNumber, theText} to {item 1 of argv, item 2 of argv}
  tell application "Messages"
    try
      set theAccount to first account whose service type is iMessage and enabled is true
      send theText to participant theNumber of theAccount
    on error
      set theAccount to first account whose service type is SMS and enabled is true
      send theText to participant theNumber of theAccount
    end try
  end tell
  return "ok"
end run
""",
)

_PHONE_ORDER = ("mobile", "iphone", "main", "home", "work")
_NOT_FOR_CALLS = ("fax", "pager")


@dataclass(frozen=True)
class MacContacts:
    """A ``ContactSource`` of the application Contacts."""

    runner: ScriptRunner

    def read(self) -> ContactBook:
        """All people as Contacts has them now; cards without a name are left out."""
        people = run_json(self.runner, READ_CONTACTS)
        return ContactBook(tuple(_contact(person) for person in people if person["name"].strip()))


@dataclass(frozen=True)
class MacCalendar:
    """An ``EventStore`` of the application Calendar; calendars are not made.

    Args:
        runner: runs the scripts.
        default: the calendar that is used where none is named; the first that can be written by default.
    """

    runner: ScriptRunner
    default: str = ""

    def add_event(self, event: NewEvent, calendar: str) -> str:
        """Add an event to a calendar."""
        names = run_json(self.runner, LIST_CALENDARS)
        name = _one_of(names, calendar or self.default, "calendar")
        made = run_json(
            self.runner,
            ADD_EVENT,
            calendar=name,
            title=event.title,
            start_ms=_ms(event.start),
            end_ms=_ms(event.end),
            location=event.location,
            notes=event.notes,
            invitees=[invitee.spec for invitee in event.invitees],
        )
        if made["twin"]:
            raise already_there(f"The event {event.title!r} on {event.when}", f"calendar {name}")
        return mac_undoable(
            name, "event", id=made["id"], calendar=name, title=event.title, state=made["state"]
        )


@dataclass(frozen=True)
class MacReminders:
    """A ``ReminderStore`` of the application Reminders; lists are not made.

    Args:
        runner: runs the scripts.
        default: the list that is used where none is named; the application's own by default.
        tz: the machine's zone, in which a day begins.
    """

    runner: ScriptRunner
    default: str = ""
    tz: tzinfo = field(default_factory=local_zone)

    def add_reminder(self, reminder: NewReminder, list_name: str) -> str:
        """Add a reminder to a list."""
        names = run_json(self.runner, LIST_REMINDER_LISTS)
        name = _one_of(names, list_name or self.default, "list")
        made = run_json(
            self.runner,
            ADD_REMINDER,
            list=name,
            name=reminder.name,
            due_ms=self._due_ms(reminder.due),
            all_day=reminder.due is not None and not isinstance(reminder.due, datetime),
            notes=reminder.notes,
            priority=reminder.priority,
        )
        if made["twin"]:
            raise already_there(f"The reminder {reminder.name!r}{reminder.when}", f"list {name}")
        return mac_undoable(
            name, "reminder", id=made["id"], list=name, name=reminder.name, state=made["state"]
        )

    def _due_ms(self, due: datetime | date | None) -> int | None:
        if due is None or isinstance(due, datetime):
            return None if due is None else _ms(due)
        return _ms(datetime.combine(due, time(), self.tz))


@dataclass(frozen=True)
class MacMessages:
    """A ``Messenger`` of the application Messages: by iMessage, else by a telephone nearby."""

    runner: ScriptRunner

    async def send(self, number: str, message: str) -> None:
        """Hand the message to Messages."""
        await call_in_thread(self.runner, {"script": SEND_MESSAGE, "arguments": [number, message]})


def _contact(person: Any) -> Contact:
    phones = [p for p in person["phones"] if not any(kind in p["kind"].lower() for kind in _NOT_FOR_CALLS)]
    return Contact(
        name=person["name"].strip(),
        nicknames=(person["nickname"],) if person["nickname"] else (),
        organization=person["organization"],
        emails=tuple(person["emails"]),
        phones=tuple(phone["value"] for phone in sorted(phones, key=_phone_rank)),
    )


def _phone_rank(phone: Any) -> int:
    kind = phone["kind"].lower()
    return next((rank for rank, known in enumerate(_PHONE_ORDER) if known in kind), len(_PHONE_ORDER))


def _one_of(names: Sequence[str], wanted: str, kind: str) -> str:
    if not names:
        raise ToolCallError(f"There is no {kind} that can be written to; make one first")
    if not wanted:
        return names[0]
    found = best(wanted, ((name, name) for name in names))
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousError(f"Several {kind}s match {wanted!r}: {', '.join(found)}; say which")
    raise ToolCallError(f"There is no {kind} {wanted!r}, only {', '.join(names)}")


def _ms(moment: datetime) -> int:
    return round(moment.astimezone(UTC).timestamp() * 1000)
