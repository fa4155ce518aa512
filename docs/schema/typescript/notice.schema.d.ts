/* Made from ../*.schema.json by `npm run types`. */

/**
 * What happened. The event's detail-type says the same: Campaign completed, Campaign halted, Campaign paused by guard.
 */
export type NoticeKind = "completed" | "halted" | "pausedByGuard";

/**
 * The detail of an EventBridge event of the source campaign-sender.
 */
export interface CampaignNotice {
  /**
   * Of this schema. Fields may be added to a version.
   */
  version: 1;
  /**
   * The campaign.
   */
  campaignId: string;
  notice: NoticeKind;
  /**
   * Why, as the campaign's status_reason has it. Null when it is completed.
   */
  reason: string | null;
  /**
   * The recipients of the campaign by outcome, as in a batch result. Null in a notice of the guard.
   */
  progress: NoticeProgress | null;
}
export interface NoticeProgress {
  total: number;
  sent: number;
  failed: number;
  suppressed: number;
  uncertain: number;
  remaining: number;
}
