/* Made from ../*.schema.json by `npm run types`. */

/**
 * What the orchestrator does: continue (invoke with next), wait (wait, then invoke with next), done (stop: every recipient has an outcome), paused and cancelled (stop: a person did that), halted (stop, and tell someone), idle (stop: nothing is due).
 */
export type BatchStatus = "continue" | "wait" | "done" | "paused" | "cancelled" | "halted" | "idle";

/**
 * What an invocation of the function send-batch answers.
 */
export interface BatchResult {
  /**
   * The campaign. Null when nothing is due.
   */
  campaignId: string | null;
  status: BatchStatus;
  /**
   * Seconds to wait before the next invocation. 0 unless status is wait.
   */
  waitSeconds: number;
  batch: BatchCounts;
  activities: ActivitiesResult;
  progress: Progress;
  /**
   * Why, where the status alone does not say it.
   */
  reason: string | null;
  /**
   * The next invocation's event. Null unless status is continue or wait.
   */
  next: NextEvent | null;
}
/**
 * The recipients of this batch. claimed is the sum of the others.
 */
export interface BatchCounts {
  claimed: number;
  sent: number;
  failed: number;
  suppressed: number;
  uncertain: number;
  /**
   * Recipients that are pending again.
   */
  deferred: number;
}
export interface ActivitiesResult {
  /**
   * False when emails were sent and could not be recorded; next.unrecorded then carries them.
   */
  success: boolean;
  /**
   * Emails of this batch that are in the timeline.
   */
  count: number;
  error: string | null;
}
/**
 * The recipients of the campaign by outcome.
 */
export interface Progress {
  total: number;
  sent: number;
  failed: number;
  suppressed: number;
  uncertain: number;
  remaining: number;
}
/**
 * The event of the next invocation, to be handed on unchanged.
 */
export interface NextEvent {
  campaignId: string;
  batchSize: number;
  /**
   * What this invocation sent and could not record; 200 KiB at most.
   */
  unrecorded?: {
    [k: string]: unknown;
  };
}
