/** What a target or a schedule cannot do, as a diagnostic of the user's program. */
import type { Code, Span } from "../dsl/diagnostics.ts";

export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: Code;
  readonly span: Span;
  readonly help: string | undefined;

  constructor(code: Code, span: Span, message: string, help?: string) {
    super(message);
    this.code = code;
    this.span = span;
    this.help = help;
  }
}
