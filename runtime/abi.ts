/**
 * A compiled kernel as plain data: what a compiler and a runtime agree on, and all that they share. Serialises to JSON.
 */

/** A size as a polynomial of dimensions, with floor division, ceiling division, min and max. Division by 0 gives 0. */
export type SizeExpr = number | string | readonly ["+" | "-" | "*" | "/" | "%" | "ceildiv" | "min" | "max", SizeExpr, SizeExpr];

/** A condition on dimensions and scalars. */
export type Condition =
  | readonly ["<" | "<=" | ">" | ">=" | "==" | "!=", SizeExpr, SizeExpr]
  | readonly ["and" | "or", Condition, Condition]
  | readonly ["not", Condition];

export type ElementType =
  | "f64"
  | "f32"
  | "f16"
  | "bf16"
  | "f8e4m3"
  | "f8e5m2"
  | "i32"
  | "u32"
  | "i16"
  | "u16"
  | "i8"
  | "u8"
  | "i4"
  | "u4"
  | "u3"
  | "u2"
  | "bool"
  | "index"
  | "offsets";

/** Bits that one element takes in memory. Elements of less than 8 bits lie lowest first in u32 words; `bool` is a byte. */
export const elementBits: Readonly<Record<ElementType, number>> = {
  f64: 64,
  f32: 32,
  f16: 16,
  bf16: 16,
  f8e4m3: 8,
  f8e5m2: 8,
  i32: 32,
  u32: 32,
  i16: 16,
  u16: 16,
  i8: 8,
  u8: 8,
  i4: 4,
  u4: 4,
  u3: 4,
  u2: 2,
  bool: 8,
  index: 32,
  offsets: 32,
};

export interface ScalarParam {
  readonly name: string;
  readonly kind: "scalar";
  readonly elem: ElementType;
}
export interface LayoutAbi {
  readonly name: string;
  /** What `place` calls the subscripts. */
  readonly indices: readonly string[];
  /** The element's position in memory, counted in elements. */
  readonly place: SizeExpr;
  /** Element positions in all. */
  readonly places: SizeExpr;
  /** `place` also speaks of an element of this parameter, by its name. */
  readonly table?: { readonly param: string; readonly at: readonly SizeExpr[] };
}
export interface TensorParam {
  readonly name: string;
  readonly kind: "tensor";
  readonly role: "in" | "inout" | "out";
  readonly elem: ElementType;
  readonly shape: readonly SizeExpr[];
  /** For `index` and `offsets`: every element must lie below (index) or at most at (offsets) this. */
  readonly bound?: SizeExpr;
  /** The kernel states `all(..) x[..] >= least`. */
  readonly least?: number;
  /** The kernel states `unique(t) x[t]`. */
  readonly distinct?: boolean;
  /** Offsets that may end before `bound`. */
  readonly open?: boolean;
  /** Where an element lies; row-major without one. */
  readonly layout?: LayoutAbi;
}
export type Param = ScalarParam | TensorParam;

export interface BufferBinding {
  readonly name: string;
  readonly access: "read" | "read_write";
  /** WGSL binding number. */
  readonly binding: number;
}
export interface LaunchAbi {
  readonly entry: string;
  /** Blocks of the linear grid; 0 skips the launch. */
  readonly grid: SizeExpr;
  readonly threads: number;
  readonly sharedBytes: number;
  readonly buffers: readonly BufferBinding[];
}
export type StepAbi =
  | { readonly kind: "launch"; readonly launch: LaunchAbi }
  | { readonly kind: "repeat"; readonly count: SizeExpr; readonly name: string; readonly steps: readonly StepAbi[] };

/** A uniform value that every launch receives, in this order; a place is where a member of an arena begins. */
export type UniformAbi = { readonly name: string; readonly type: "i32" | "u32" | "f32" | "f64" } & (
  | { readonly kind: "dim" | "scalar" | "step" }
  | { readonly kind: "place"; readonly at: SizeExpr }
);
/** Tensors and temporaries that lie one after the other in one buffer: sizes and places in steps of 16 bytes. */
export interface ArenaAbi {
  readonly name: string;
  readonly size: SizeExpr;
  readonly members: readonly { readonly name: string; readonly at: SizeExpr }[];
}
/**
 * An entry of its own source, which takes a table of calls (buffers and uniforms of each, in the order and with the alignment of a C struct),
 * the number of each call's first block, and how many calls there are.
 */
export interface ManyAbi {
  readonly entry: string;
  readonly source: string;
}
export interface Artifact {
  readonly kernel: string;
  /** `T=f16, D=64`; empty where the kernel has one form. */
  readonly instance: string;
  readonly target: "cuda" | "wgsl";
  /** Compiled over the exact algebra: floats are integers modulo 2^32. */
  readonly exact?: boolean;
  /** Name of its schedule, where it has one: chosen by name alone. */
  readonly schedule?: string;
  /** What the schedule asks of a device, and of the dimensions of a launch. */
  readonly arch?: string;
  readonly features?: readonly string[];
  readonly when?: Condition;
  /** What of `when` the code relies on: it is wrong for other dimensions. */
  readonly assumes?: readonly { readonly condition: Condition; readonly text: string }[];
  readonly dims: readonly { readonly name: string; readonly value?: number }[];
  readonly params: readonly Param[];
  /** Preconditions on dimensions and scalars, with the text that states them. */
  readonly requires: readonly { readonly condition: Condition; readonly text: string }[];
  /** Preconditions on data, as text. `least` and `distinct` of a parameter are checked on request; others are the caller's promise. */
  readonly dataRequires: readonly string[];
  readonly temps: readonly { readonly name: string; readonly elem: ElementType; readonly count: SizeExpr }[];
  /** What shares a buffer, where a launch would bind more than every device can. */
  readonly arenas?: readonly ArenaAbi[];
  readonly uniforms: readonly UniformAbi[];
  readonly steps: readonly StepAbi[];
  readonly source: string;
  /** The same kernel for many calls in one launch, where it has one. */
  readonly many?: ManyAbi;
  /** Generated line (from 1) -> Weft line (from 1). */
  readonly lines: readonly (readonly [number, number])[];
  /** The Weft text it came from: what the reference interpreter runs. */
  readonly weft: string;
}

const sizeOperators = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => (b === 0 ? 0 : Math.floor(a / b)),
  "%": (a, b) => (b === 0 ? 0 : a - b * Math.floor(a / b)),
  ceildiv: (a, b) => (b === 0 ? 0 : Math.ceil(a / b)),
  min: Math.min,
  max: Math.max,
} satisfies Record<string, (a: number, b: number) => number>;

/** A size that depends on a name without a value. */
export class UnknownSize extends Error {
  readonly size: string;
  constructor(size: string) {
    super(`no value for ${size}`);
    this.size = size;
  }
}
export function evaluateSize(e: SizeExpr, values: Readonly<Record<string, number>>): number {
  if (typeof e === "number") return e;
  if (typeof e === "string") {
    const v = values[e];
    if (v === undefined) throw new UnknownSize(e);
    return v;
  }
  return sizeOperators[e[0]](evaluateSize(e[1], values), evaluateSize(e[2], values));
}
/**
 * `e` to be evaluated many times: `names` have the values that then stand in `at`, all others those of `values`.
 * @throws UnknownSize for a name without a value
 */
export function evaluatorOf(
  e: SizeExpr,
  values: Readonly<Record<string, number>>,
  names: readonly string[],
  at: readonly number[],
): () => number {
  const build = (x: SizeExpr): number | (() => number) => {
    const k = typeof x === "string" ? names.lastIndexOf(x) : -1;
    if (k >= 0) return () => at[k]!;
    if (typeof x !== "object") return evaluateSize(x, values);
    const [a, b] = [build(x[1]), build(x[2])];
    const op = sizeOperators[x[0]];
    if (typeof a === "number") return typeof b === "number" ? op(a, b) : () => op(a, b());
    return typeof b === "number" ? () => op(a(), b) : () => op(a(), b());
  };
  const built = build(e);
  return typeof built === "number" ? () => built : built;
}
export function holds(c: Condition, values: Readonly<Record<string, number>>): boolean {
  switch (c[0]) {
    case "and":
      return holds(c[1], values) && holds(c[2], values);
    case "or":
      return holds(c[1], values) || holds(c[2], values);
    case "not":
      return !holds(c[1], values);
    default: {
      const a = evaluateSize(c[1], values);
      const b = evaluateSize(c[2], values);
      return c[0] === "<"
        ? a < b
        : c[0] === "<="
          ? a <= b
          : c[0] === ">"
            ? a > b
            : c[0] === ">="
              ? a >= b
              : c[0] === "=="
                ? a === b
                : a !== b;
    }
  }
}
/** Launches in order, repeated groups written out, with the step counters of each. */
export function unroll(
  steps: readonly StepAbi[],
  values: Readonly<Record<string, number>>,
  counters: Readonly<Record<string, number>> = {},
): { launch: LaunchAbi; steps: Readonly<Record<string, number>> }[] {
  return steps.flatMap((s) => {
    if (s.kind === "launch") return [{ launch: s.launch, steps: counters }];
    const count = evaluateSize(s.count, values);
    return Array.from({ length: Math.max(0, count) }, (_, k) => unroll(s.steps, values, { ...counters, [s.name]: k })).flat();
  });
}
export function sizeText(e: SizeExpr): string {
  if (!Array.isArray(e)) return String(e);
  const [op, a, b] = e as readonly [string, SizeExpr, SizeExpr];
  return /^[a-z]/.test(op) ? `${op}(${sizeText(a)}, ${sizeText(b)})` : `(${sizeText(a)} ${op} ${sizeText(b)})`;
}
