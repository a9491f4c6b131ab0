"""The tools that write email."""

from __future__ import annotations

from plait.tools import Tool
from plait.tools.assistant._kinds import EmailAddress, FilePath, Message, Status, Title
from plait.tools.assistant._mail import Mail
from plait.tools.assistant._mail_review import MailReview

MAIL_TIMEOUT_S = 600.0  # a model may write the text, and large attachments take their time


def mail_tools(mail: Mail) -> list[Tool]:
    """``compose_new_email``, ``reply_to_email`` and ``forward_email``."""

    async def compose_new_email(
        recipients: list[EmailAddress],
        cc: list[EmailAddress] = [],  # noqa: B006  (a literal, so that prompts can show it; never changed)
        subject: Title = "",
        context: Message = "",
        attachments: list[FilePath] = [],  # noqa: B006
    ) -> Status:
        """Write and send a new email.

        Args:
            recipients: email addresses
            cc: email addresses of those who get a copy
            subject: the subject line
            context: what the email says
            attachments: paths of files to attach, which open_and_get_file_path gives
        """
        return await mail.compose(recipients, cc, subject, context, attachments)

    async def reply_to_email(
        cc: list[EmailAddress] = [],  # noqa: B006
        context: Message = "",
        attachments: list[FilePath] = [],  # noqa: B006
    ) -> Status:
        """Reply to the email that is selected, or else to the newest one.

        Args:
            cc: email addresses of those who get a copy
            context: what the reply says
            attachments: paths of files to attach, which open_and_get_file_path gives
        """
        return await mail.reply(cc, context, attachments)

    async def forward_email(
        recipients: list[EmailAddress],
        cc: list[EmailAddress] = [],  # noqa: B006
        context: Message = "",
        attachments: list[FilePath] = [],  # noqa: B006
    ) -> Status:
        """Forward the email that is selected, or else the newest one.

        Args:
            recipients: email addresses
            cc: email addresses of those who get a copy
            context: what is said above the forwarded email
            attachments: paths of files to attach, which open_and_get_file_path gives
        """
        return await mail.forward(recipients, cc, context, attachments)

    review = MailReview(mail)
    # They may only leave drafts; whether they send is the user's setting, and not known here.
    return [
        Tool.from_function(
            function,
            read_only=False,
            destructive=False,
            open_world=True,
            timeout_s=MAIL_TIMEOUT_S,
            prepare=prepare,
        )
        for function, prepare in (
            (compose_new_email, review.new),
            (reply_to_email, review.reply),
            (forward_email, review.forward),
        )
    ]
