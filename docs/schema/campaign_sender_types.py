"""What campaign-sender's functions take and say, as event.schema.json, result.schema.json and notice.schema.json have it.

A test compares the two. Nothing but the standard library is needed (Python 3.11).
"""

from typing import Any, Literal, NotRequired, TypedDict


class CampaignEvent(TypedDict):
    """The next batch of this campaign."""

    campaignId: str
    batchSize: NotRequired[int | None]
    lanes: NotRequired[int | None]
    unrecorded: NotRequired[dict[str, Any] | None]


class EmptyEvent(TypedDict):
    """The campaign that is most due."""


ScheduledEvent = TypedDict("ScheduledEvent", {"detail-type": Literal["Scheduled Event"]})

SendBatchEvent = CampaignEvent | EmptyEvent | ScheduledEvent

BatchStatus = Literal["continue", "wait", "done", "paused", "cancelled", "halted", "idle"]


class BatchCounts(TypedDict):
    """The recipients of this batch. claimed is the sum of the others."""

    claimed: int
    sent: int
    failed: int
    suppressed: int
    uncertain: int
    deferred: int


class ActivitiesResult(TypedDict):
    """success is False when emails were sent and could not be recorded; next["unrecorded"] then carries them."""

    success: bool
    count: int
    error: str | None


class Progress(TypedDict):
    """The recipients of the campaign by outcome."""

    total: int
    sent: int
    failed: int
    suppressed: int
    uncertain: int
    remaining: int


class NextEvent(TypedDict):
    """The event of the next invocation, to be handed on unchanged."""

    campaignId: str
    batchSize: int
    unrecorded: NotRequired[dict[str, Any]]


class BatchResult(TypedDict):
    """What an invocation of the function send-batch answers. next is None unless status is continue or wait."""

    campaignId: str | None
    status: BatchStatus
    waitSeconds: int
    batch: BatchCounts
    activities: ActivitiesResult
    progress: Progress
    reason: str | None
    next: NextEvent | None


NoticeKind = Literal["completed", "halted", "pausedByGuard"]


class CampaignNotice(TypedDict):
    """The detail of an EventBridge event of the source campaign-sender."""

    version: Literal[1]
    campaignId: str
    notice: NoticeKind
    reason: str | None
    progress: Progress | None
