/** Elements already computed, with their error, definedness and openness: dense while that is affordable, a map beyond. */
import { state } from "./state.ts";

const denseLimit = 2 ** 25;
const known = 1;
const undefinedBit = 2;
const openBit = 4;

export class Memo {
  private readonly values: Float64Array | Map<number, number>;
  private readonly errors: Float64Array | Map<number, number>;
  private readonly flags: Uint8Array | Map<number, number>;

  constructor(size: number) {
    const dense = size <= denseLimit;
    this.values = dense ? new Float64Array(size) : new Map();
    this.errors = dense ? new Float64Array(size) : new Map();
    this.flags = dense ? new Uint8Array(size) : new Map();
  }
  has(at: number): boolean {
    return (get(this.flags, at) & known) !== 0;
  }
  /** The value; sets the state as evaluating it did. */
  get(at: number): number {
    const flags = get(this.flags, at);
    if (flags & undefinedBit) state.undefined = true;
    if (flags & openBit) state.open = true;
    state.error = get(this.errors, at);
    return get(this.values, at);
  }
  /** Keeps a value with the state in which it was just computed. */
  set(at: number, value: number): void {
    put(this.values, at, value);
    put(this.errors, at, state.undefined ? 0 : state.error);
    put(this.flags, at, known | (state.undefined ? undefinedBit : 0) | (state.open ? openBit : 0));
  }
}
type Store = Float64Array | Uint8Array | Map<number, number>;
const get = (s: Store, at: number): number => (s instanceof Map ? (s.get(at) ?? 0) : s[at]!);
const put = (s: Store, at: number, v: number): void => {
  if (s instanceof Map) s.set(at, v);
  else s[at] = v;
};
