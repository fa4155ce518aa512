/* What campaign-sender's functions take and say. */
export * from "./event.schema.js";
export * from "./result.schema.js";
export * from "./notice.schema.js";
