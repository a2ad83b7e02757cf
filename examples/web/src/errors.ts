import type { ErrorCode } from "./types.js";

/** A failure that a user can act on; `message` says what and where. */
export class TiefseeError extends Error {
  /** What kind of failure it is, for programs. */
  readonly code: ErrorCode;

  constructor(message: string, code: ErrorCode) {
    super(message);
    this.name = "TiefseeError";
    this.code = code;
  }
}
