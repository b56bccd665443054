/** A place in a source text: UTF-16 offsets, `end` exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export type Severity = "error" | "warning";

/** One message as data. `code` is stable once published; `docs/language.md` lists all of them. */
export interface Diagnostic {
  readonly code: Code;
  readonly severity: Severity;
  readonly span: Span;
  readonly message: string;
  /** Further places, or facts without a place, that explain the message. */
  readonly notes: readonly { readonly span?: Span; readonly text: string }[];
  /** What the author could do, where one remedy is likely. */
  readonly help?: string;
}

/** Every diagnostic code with the sentence that says what it stands for. */
export const codes = {
  W001: "a character that starts no token",
  W002: "the text does not follow the grammar",
  W101: "a name that is not in scope",
  W102: "a name is defined twice, or shadows another",
  W103: "a type or dimension name that is not known",
  W104: "a call of something that is not a function, or with the wrong number of arguments",
  W105: "a tensor read with the wrong number of subscripts",
  W106: "a definition that is never read",
  W201: "operands of different types; nothing converts silently",
  W202: "an operation that the type does not have",
  W203: "a value whose range does not provably fit the narrower type",
  W204: "a literal that does not fit its type",
  W205: "a condition that is not a bool, or a bool used as a number",
  W301: "an index whose extent is ambiguous",
  W302: "an index whose extent nothing determines",
  W303: "a subscript that leaves its range, with an example",
  W304: "a subscript that is not proven in range",
  W305: "an output that is undefined somewhere, with an example",
  W306: "an output that is not proven defined everywhere",
  W307: "a divisor that may be zero",
  W309: "a sweep over an index that is not in scope",
  W401: "an output that is never written, or written twice",
  W402: "an inout parameter written twice",
  W403: "a write through subscripts that are not known to be unique",
  W404: "an assignment that the target does not allow",
  W501: "an instance that does not fit its kernel",
  W502: "a generic parameter that no instance binds",
  W503: "a kernel, function, monoid, layout or instance that is not declared",
  W504: "a monoid whose laws do not hold or whose parts do not agree",
  W505: "a layout that is not a bijection or does not fit its tensor",
  W601: "a schedule directive that does not exist",
  W602: "a schedule that names something the kernel does not have",
  W603: "a directive whose arguments are not of the form it takes",
  W604: "a directive whose pass this version does not have yet",
  W605: "a target or feature that is not known",
  W606: "a directive that cannot be honoured here",
  W701: "an element type that the target cannot hold",
  W702: "more tensors, each written in another way, than the target binds to a launch",
} as const;
export type Code = keyof typeof codes;

export class Diagnostics {
  readonly list: Diagnostic[] = [];
  private readonly seen = new Set<string>();

  /** Reports once for each code, place and text, however many instances run into it. */
  add(code: Code, span: Span, message: string, more: { help?: string; notes?: Diagnostic["notes"]; severity?: Severity } = {}): void {
    const key = `${code} ${span.start} ${span.end} ${message}`;
    const place = `${code} ${span.start} ${span.end}`;
    if (this.seen.has(key) || (code !== "W106" && this.seen.has(place))) return;
    this.seen.add(key).add(place);
    this.list.push({
      code,
      span,
      message,
      severity: more.severity ?? "error",
      notes: more.notes ?? [],
      ...(more.help ? { help: more.help } : {}),
    });
  }
  get hasErrors(): boolean {
    return this.list.some((d) => d.severity === "error");
  }
  sorted(): Diagnostic[] {
    return [...this.list].sort((a, b) => a.span.start - b.span.start);
  }
}

/** Our own mistake, never the user's: carries what a maintainer needs. */
export class InternalError extends Error {
  override readonly name = "InternalError";
}
export function invariant(condition: unknown, text: string): asserts condition {
  if (!condition) throw new InternalError(text);
}
