"""One paid call, from request to answer: ledger, budget, rate limit, attempts."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import stamina

from llava_video.calls.annotator import Annotator, AttemptError, remedy_for
from llava_video.calls.endpoint import Endpoint
from llava_video.calls.ledger import CallInfo, Ledger, LedgerError
from llava_video.calls.make_annotator import make_annotator
from llava_video.calls.messages import Reply, Request, Usage
from llava_video.calls.pricing import Price, PriceTable, load_prices, request_tokens, upper_usd
from llava_video.calls.rate_limit import LONGEST_PAUSE_SECONDS, Breaker, Pacer
from llava_video.calls.token_count import text_tokens
from llava_video.errors import BudgetError, EndpointError, LlavaVideoError

# Attempts are in the ledger; stamina's own warnings would print each of them into the progress
# table.
logging.getLogger("stamina").addHandler(logging.NullHandler())


_ALL_REFUSED = 5


class InterruptedRunError(LlavaVideoError):
    """The user asked the run to stop; what is done stays."""


ENDS_THE_RUN = (EndpointError, BudgetError, LedgerError, InterruptedRunError)
"""Errors that concern every call; all others cost one video."""


def call_info(request: Request, key: str, price: Price) -> CallInfo:
    """What the ledger records about a request before it is sent."""
    return CallInfo(
        *(key, request.item_id, request.stage, request.model, request.prompt),
        *request_tokens(request, price),
        upper_usd(request, price),
        request.max_output_tokens,
    )


async def find_answer(ledger: Ledger, request: Request) -> tuple[Reply | None, str]:
    """The answer in a ledger, and the key to ask under where there is none.

    An answer that was cut off at a lower limit than today's does not count, unless the next sample
    took its place; the call is then asked again under a key with today's limit, so that both
    answers stay in the ledger.
    """
    key, limit = request.key(), request.max_output_tokens
    found = await ledger.find(key)
    if found is not None and found.holds_for(limit):
        return found, key
    is_cut_off = found is not None
    for own in await ledger.limits():
        limited = await ledger.find(request.key_at(own))
        if limited is not None:
            limited = dataclasses.replace(limited, max_output_tokens=own)
            if limited.holds_for(limit):
                return limited, limited.call_key
            is_cut_off = True
    if not is_cut_off:
        return None, key
    if found is not None and not request.is_trial:
        later = dataclasses.replace(request, sample=request.sample + 1)
        taken = await ledger.find(later.key())
        if taken is not None and not taken.is_cut_off:
            return found, key
    await ledger.remember_limit(limit)
    return None, request.key_at(limit)


def used_tokens(reply: Reply, info: CallInfo, price: Price) -> Usage:
    """The tokens that an answer took; the forecast where the server reported none."""
    if reply.usage is not None:
        return reply.usage
    return Usage(info.forecast_tokens, text_tokens(reply.text, price.tokenizer_name))


class Caller:
    """Sends each request once: finished calls come from the ledger, the others are paid for.

    Args:
        annotator: answers requests.
        ledger: where every call is committed.
        settings: limits and patience.
        prices: for dollars.
    """

    def __init__(
        self, annotator: Annotator, ledger: Ledger, settings: Endpoint, prices: PriceTable
    ) -> None:
        self._annotator = annotator
        self._ledger = ledger
        self._settings = settings
        self._prices = prices
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._pacer = Pacer(settings.rpm, settings.tpm)
        self._breaker = Breaker(settings.give_up_after_seconds, settings.attempts)
        self._flying: dict[str, asyncio.Task[Reply]] = {}
        self._stopped_by: LlavaVideoError | None = None
        # Per stage the items whose calls were refused; None once one of the stage was answered.
        self._refused: dict[str, set[str] | None] = {}

    async def call(self, request: Request) -> Reply:
        """The answer to a request, committed.

        Raises:
            AttemptError: this request cannot be answered (a 4xx, or every attempt failed).
            LlavaVideoError: one of `ENDS_THE_RUN`.
        """
        key = request.key()
        if key in self._flying:  # the same question at the same time, say from a copied video
            return await asyncio.shield(self._flying[key])
        task = asyncio.create_task(self._find_or_pay(request))
        self._flying[key] = task
        try:
            return await task
        except ENDS_THE_RUN as error:
            self.stop(error)
            raise
        finally:
            del self._flying[key]

    async def wait(self) -> None:
        """Return when no call is in flight."""
        await asyncio.gather(*self._flying.values(), return_exceptions=True)

    def stop(self, reason: LlavaVideoError) -> None:
        """Send nothing more: calls in flight may finish, new ones raise ``reason``."""
        self._stopped_by = self._stopped_by or reason

    async def _find_or_pay(self, request: Request) -> Reply:
        found, key = await find_answer(self._ledger, request)
        if found is not None:
            return found
        price = self._prices.of(request.model)
        info = call_info(request, key, price)
        async for attempt in stamina.retry_context(
            on=self._backoff,
            attempts=self._settings.attempts,
            timeout=None,
            wait_initial=0.5,
            wait_max=self._settings.max_wait_seconds,
            wait_jitter=min(1.0, self._settings.max_wait_seconds),
        ):
            with attempt:
                number, reply = await self._attempt(request, info)
        await self._ledger.settle(number, reply, price.usd(used_tokens(reply, info, price)))
        return dataclasses.replace(reply, call_key=key, max_output_tokens=request.max_output_tokens)

    async def _attempt(self, request: Request, info: CallInfo) -> tuple[int, Reply]:
        """One attempt, which holds a slot until the endpoint has answered."""
        async with self._slots:
            await self._pacer.wait(info.forecast_tokens)
            self._check_not_stopped()
            number = await self._ledger.reserve(info)
            reply = await self._send(request, info, number)
        self._breaker.succeeded()
        self._refused[request.stage] = None
        self._pacer.update_limits(reply.rate_limits)
        return number, reply

    async def _send(self, request: Request, info: CallInfo, number: int) -> Reply:
        try:
            self._check_not_stopped()  # it may have waited for the budget
            return await self._annotator.complete(request, info.key)
        except AttemptError as error:
            await self._ledger.fail(
                number, error.outcome, str(error), may_be_billed=error.may_be_billed
            )
            self._pacer.update_limits(error.rate_limits)
            if error.retry_after_seconds is not None:
                self._pacer.pause(error.retry_after_seconds)
            self._breaker.failed(error)
            await self._check_not_all_refused(error, request)
            raise
        except LlavaVideoError as error:
            await self._ledger.fail(number, "refused", str(error), may_be_billed=False)
            raise
        except asyncio.CancelledError:
            await asyncio.shield(self._ledger.fail(number, "cancelled", "", may_be_billed=True))
            raise

    async def _check_not_all_refused(self, error: AttemptError, request: Request) -> None:
        """A refusal of every call of one kind concerns the run, not single videos.

        Raises:
            EndpointError: calls about several videos were refused, and none of the kind answered.
        """
        refused = self._refused.setdefault(request.stage, set())
        if error.is_transient or refused is None:  # one was answered
            return
        refused.add(request.item_id)
        if len(refused) < _ALL_REFUSED:
            return
        if await self._ledger.has_answered(request.stage, request.model):  # in an earlier run
            self._refused[request.stage] = None
        else:
            raise EndpointError(
                f"{request.stage}: every call so far was refused: {error}; "
                f"{remedy_for(error, request)}"
            )

    def _check_not_stopped(self) -> None:
        if self._stopped_by is not None:
            raise self._stopped_by

    def _backoff(self, error: Exception) -> bool | float:
        """Whether to try again, and after how many seconds if the server says so."""
        if not isinstance(error, AttemptError) or not error.is_transient:
            return False
        if error.retry_after_seconds is not None:
            return min(error.retry_after_seconds, LONGEST_PAUSE_SECONDS)
        return True


@asynccontextmanager
async def open_caller(settings: Endpoint, ledger: Ledger) -> AsyncIterator[Caller]:
    """A caller of the annotator that the settings name, whose connections are closed at the end."""
    annotator = make_annotator(settings)
    try:
        yield Caller(annotator, ledger, settings, load_prices(settings.prices_file))
    finally:
        await annotator.aclose()
