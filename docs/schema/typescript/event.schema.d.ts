/* Made from ../*.schema.json by `npm run types`. */

/**
 * What the function send-batch is given: a campaign, or nothing, which means what is most due.
 */
export type SendBatchEvent = CampaignEvent | EmptyEvent | ScheduledEvent;
/**
 * The campaign that is most due.
 */
export type EmptyEvent = Record<string, never>;

/**
 * The next batch of this campaign.
 */
export interface CampaignEvent {
  /**
   * The campaign.
   */
  campaignId: string;
  /**
   * Recipients per batch. Null or absent: the function's BATCH_SIZE.
   */
  batchSize?: number | null;
  /**
   * For the state machine: loops at a time. The function checks it and does not use it.
   */
  lanes?: number | null;
  /**
   * What an earlier result's next.unrecorded carried, unchanged.
   */
  unrecorded?: {
    [k: string]: unknown;
  } | null;
}
/**
 * The same: an EventBridge scheduled event.
 */
export interface ScheduledEvent {
  "detail-type": "Scheduled Event";
  [k: string]: unknown;
}
