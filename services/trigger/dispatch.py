"""Hands made invitations to channels that send: claim what is due, call outside any transaction, record."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.trigger.channels.webhook import body_of, headers_of
from services.trigger.store import customers, invitations, secrets
from services.trigger.store.invitations import Change
from shared import crash
from shared.contracts.values import InvitationState
from shared.db import Database, now
from shared.instruments import DELIVERY_ATTEMPTS, DELIVERY_SECONDS
from shared.telemetry import log
from shared.tracing.requests import calling, carried_by, replied
from shared.webhook import Reply, next_attempt, outcome
from shared.webhook.client import WebhookClient

_LEASE_MARGIN_SECONDS = 10.0


@dataclass(frozen=True)
class Sending:
    """One call that is to be made: the leased invitation, where to, and how the customer can be reached."""

    row: Any
    url: str
    secret: str
    contact: Mapping[str, str]
    traceparent: str | None


@dataclass(frozen=True)
class Sender:
    """Sends at least once, with a stable id; the lease is longer than a call may take."""

    database: Database
    client: WebhookClient
    timeout_seconds: float
    concurrency: int

    async def step(self) -> int:
        """Send one batch of what is due; returns how many. Nothing goes out while a stop might be unread."""
        async with self.database.begin() as tx:
            at = await now(tx)
            if not await customers.is_fresh(tx, at):
                return 0
            lease = self.timeout_seconds + _LEASE_MARGIN_SECONDS
            claimed = await invitations.claim_sendings(
                tx, limit=self.concurrency, lease_seconds=lease
            )
            rows = [row for row, _ in claimed]
            channels = await secrets.load_channels(
                tx, {(row.workspace, row.channel) for row in rows}
            )
            known = await customers.load_customers(
                tx, {(row.workspace, row.customer) for row in rows}
            )
        if not rows:
            return 0
        crash.point(crash.Point.SENDER_AFTER_CLAIM)
        sendings = [
            Sending(
                row,
                *channels.get((row.workspace, row.channel), ("", "")),
                _contact(row, known),
                traceparent,
            )
            for row, traceparent in claimed
        ]
        replies = await asyncio.gather(*(self._send(sending, at) for sending in sendings))
        crash.point(crash.Point.SENDER_AFTER_SEND)
        await self._record(sendings, replies)
        return len(rows)

    async def _send(self, sending: Sending, at: datetime) -> Reply | None:
        """One call; None when there is no channel to call any more."""
        if not sending.url:
            return None
        row = sending.row
        body = body_of(row.document, sending.contact)
        headers = headers_of(sending.secret, row.id, int(at.timestamp()), body)
        with calling("trigger", sending.url, sending.traceparent) as span:
            reply = await self.client.post(
                sending.url,
                headers | carried_by(span),
                body,
                timeout_seconds=self.timeout_seconds,
            )
            replied(span, reply)
        DELIVERY_ATTEMPTS.labels("trigger", outcome(reply)).inc()
        DELIVERY_SECONDS.labels("trigger").observe(reply.duration_seconds)
        return reply

    async def _record(self, sendings: Sequence[Sending], replies: Sequence[Reply | None]) -> None:
        answered = {
            (sending.row.workspace, sending.row.id): (reply, sending.traceparent)
            for sending, reply in zip(sendings, replies, strict=True)
        }
        async with self.database.begin() as tx:
            at = await now(tx)
            locked = await invitations.lock_invitations(tx, answered)
            changes = [
                replace(_change(row, reply, at), traceparent=traceparent)
                for row in locked
                for reply, traceparent in [answered[(row.workspace, row.id)]]
            ]
            await invitations.change_invitations(tx, changes, at)
        for change in changes:
            if change.last_error:
                log.warning(
                    "invitation_not_sent",
                    workspace=change.row.workspace,
                    invitation=change.row.id,
                    attempts=change.attempts,
                    next_at=change.send_at,
                    reason=change.last_error,
                )


def _contact(row: Any, known: Mapping[tuple[str, str], Any]) -> dict[str, str]:
    """What the event brought; what is known of the customer wins."""
    customer = known.get((row.workspace, row.customer))
    return {**row.contact, **(customer.contact if customer is not None else {})}


def _change(row: Any, reply: Reply | None, at: datetime) -> Change:
    """What one attempt did to an invitation. One that was answered, stopped or expired meanwhile stays so."""
    attempts = row.attempts + 1
    if row.state != InvitationState.SENDING:
        return Change(row, InvitationState(row.state), attempts=attempts)
    if reply is None:
        return Change(
            row,
            InvitationState.FAILED,
            attempts=row.attempts,
            last_error="there is no such channel any more",
        )
    result = outcome(reply)
    if result == "delivered":
        return Change(row, InvitationState.SENT, attempts=attempts)
    error = reply.error or f"answered {reply.status}"
    again = None if result == "gone" else next_attempt(attempts, reply, at, random.random())  # noqa: S311 - a spread, no secret
    if again is None or again >= row.expires_at:
        return Change(row, InvitationState.FAILED, attempts=attempts, last_error=error)
    return Change(row, InvitationState.SENDING, send_at=again, attempts=attempts, last_error=error)
