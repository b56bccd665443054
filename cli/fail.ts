/** How a command ends: 0 done, 1 the user's error, 2 ours. */

/** Something the user can mend: one message, no stack trace, exit code 1. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly code: string;

  constructor(message: string, code = "W000") {
    super(message);
    this.code = code;
  }
}
