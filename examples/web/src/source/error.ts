import type { ErrorCode } from "../types.js";

/** Why a model's files cannot be had, in words and as a code. */
export class SourceError extends Error {
  override readonly name = "SourceError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Whether `error` is an exception of the browser by this name. */
export function isNamed(error: unknown, ...names: string[]): boolean {
  return error instanceof Error && names.includes(error.name);
}
