/**
 * Where an element of a tile lives: one linear map over bits (F2). Inputs are `register`, `lane`, `warp` (or `offset` for memory); outputs
 * are the index names of the user's own definition. The image of an input is the XOR of the columns of its set bits; a column packs the
 * output coordinates, first output lowest. After "Linear Layouts" (2025), https://arxiv.org/abs/2505.23819; the algorithms are our own.
 */
import { InternalError, invariant } from "../../dsl/diagnostics.ts";
import { listOf } from "../lists.ts";

export interface Output {
  readonly name: string;
  readonly bits: number;
}

export class Layout {
  readonly outputs: readonly Output[];
  /** For each input its columns, lowest bit first. */
  readonly columns: ReadonlyMap<string, readonly number[]>;

  /** @param columns images of the input bits, each below 2^(sum of output bits), at most 31 bits in all */
  constructor(columns: ReadonlyMap<string, readonly number[]>, outputs: readonly Output[]) {
    let bits = 0;
    for (const o of outputs) bits += o.bits;
    if (bits > 31) throw new InternalError(`a layout of ${bits} bits; 31 is the limit`);
    for (const list of columns.values())
      for (const c of list) if (c < 0 || c >> bits !== 0) throw new InternalError(`column ${c} does not fit ${bits} bits`);
    this.columns = columns;
    this.outputs = outputs;
  }

  /** `bits` input bits that count along `name`, lowest first. */
  static identity(input: string, name: string, bits: number): Layout {
    return new Layout(new Map([[input, listOf(bits, (b) => 1 << b)]]), [{ name, bits }]);
  }
  /** Input bits that move nothing: every element is held 2^bits times. */
  static zeros(input: string, bits: number): Layout {
    return new Layout(new Map([[input, new Array<number>(bits).fill(0)]]), []);
  }
  /**
   * Bits in the order in which they are listed: `blocked([["register", "j", 2], ["lane", "j", 3], ["lane", "i", 2]])` gives the lowest two
   * bits of j to registers, the next three to lanes, and the lowest two of i to the lanes after those.
   */
  static blocked(parts: readonly (readonly [input: string, name: string, bits: number])[]): Layout {
    return parts.map(([input, name, bits]) => Layout.identity(input, name, bits)).reduce((a, b) => a.product(b), new Layout(new Map(), []));
  }

  get size(): number {
    return this.outputs.reduce((sum, o) => sum + o.bits, 0);
  }
  bitsOf(input: string): number {
    return this.columns.get(input)?.length ?? 0;
  }
  extent(name: string): number {
    return 1 << (this.outputs.find((o) => o.name === name)?.bits ?? 0);
  }
  private offset(name: string): number {
    let at = 0;
    for (const o of this.outputs) {
      if (o.name === name) return at;
      at += o.bits;
    }
    throw new RangeError(`a layout without ${name}`);
  }
  /** The coordinates of the element at these inputs. */
  at(inputs: Readonly<Record<string, number>>): Record<string, number> {
    let image = 0;
    for (const [input, list] of this.columns) {
      const v = inputs[input] ?? 0;
      list.forEach((c, b) => {
        if ((v >> b) & 1) image ^= c;
      });
    }
    return Object.fromEntries(this.outputs.map((o) => [o.name, (image >> this.offset(o.name)) & ((1 << o.bits) - 1)]));
  }
  private map(f: (column: number) => number, outputs: readonly Output[]): Layout {
    return new Layout(new Map([...this.columns].map(([k, list]) => [k, list.map(f)])), outputs);
  }

  /** Tiles of `this`, placed as `other` says: it acts on new, higher bits of the same names. */
  product(other: Layout): Layout {
    const names = [
      ...this.outputs.map((o) => o.name),
      ...other.outputs.filter((o) => !this.outputs.some((x) => x.name === o.name)).map((o) => o.name),
    ];
    const bitsIn = (l: Layout, name: string) => l.outputs.find((o) => o.name === name)?.bits ?? 0;
    const outputs = names.map((name) => ({ name, bits: bitsIn(this, name) + bitsIn(other, name) }));
    const place = (l: Layout, shift: (name: string) => number) => (column: number) => {
      let out = 0;
      let at = 0;
      for (const o of outputs) {
        const own = bitsIn(l, o.name);
        if (own > 0) out |= ((column >> l.offset(o.name)) & ((1 << own) - 1)) << (at + shift(o.name));
        at += o.bits;
      }
      return out;
    };
    const low = place(this, () => 0);
    const high = place(other, (name) => bitsIn(this, name));
    const columns = new Map<string, number[]>();
    for (const [k, list] of this.columns) columns.set(k, list.map(low));
    for (const [k, list] of other.columns) columns.set(k, [...(columns.get(k) ?? []), ...list.map(high)]);
    return new Layout(columns, outputs);
  }
  /** `other` after `this`: the outputs of this are the inputs of other. */
  compose(other: Layout): Layout {
    return this.map((column) => {
      let image = 0;
      for (const o of this.outputs) {
        const v = (column >> this.offset(o.name)) & ((1 << o.bits) - 1);
        other.columns.get(o.name)?.forEach((c, b) => {
          if ((v >> b) & 1) image ^= c;
        });
      }
      return image;
    }, other.outputs);
  }
  /** The least right inverse of an onto layout: from coordinates to inputs; redundant inputs are 0. */
  invert(): Layout {
    const inputs = [...this.columns].map(([name, list]) => ({ name, bits: list.length }));
    const flat = [...this.columns.values()].flat();
    // Echelon form that remembers which inputs make each reduced column.
    const rows: { value: number; from: number }[] = [];
    flat.forEach((c, k) => {
      let value = c;
      let from = 1 << k;
      for (const r of rows) {
        if ((value ^ r.value) >= value) continue;
        value ^= r.value;
        from ^= r.from;
      }
      if (value === 0) return;
      rows.push({ value, from });
      rows.sort((a, b) => b.value - a.value);
    });
    invariant(rows.length === this.size, `only an onto layout has an inverse: rank ${rows.length} of ${this.size}`);
    const solve = (target: number): number => {
      let value = target;
      let from = 0;
      for (const r of rows) {
        if ((value ^ r.value) >= value) continue;
        value ^= r.value;
        from ^= r.from;
      }
      return from;
    };
    const columns = new Map<string, number[]>();
    for (const o of this.outputs)
      columns.set(
        o.name,
        listOf(o.bits, (b) => solve(1 << (this.offset(o.name) + b))),
      );
    return new Layout(columns, inputs);
  }
  /** The inputs in `keep`, the rest held at 0. */
  restrict(keep: readonly string[]): Layout {
    return new Layout(new Map([...this.columns].filter(([k]) => keep.includes(k))), this.outputs);
  }
  /** What is left when only the outputs in `keep` are looked at: columns that become 0 carry copies. */
  project(keep: readonly string[]): Layout {
    const outputs = this.outputs.filter((o) => keep.includes(o.name));
    return this.map((column) => {
      let out = 0;
      let at = 0;
      for (const o of outputs) {
        out |= ((column >> this.offset(o.name)) & ((1 << o.bits) - 1)) << at;
        at += o.bits;
      }
      return out;
    }, outputs);
  }
  rename(names: Readonly<Record<string, string>>): Layout {
    return new Layout(
      this.columns,
      this.outputs.map((o) => ({ ...o, name: names[o.name] ?? o.name })),
    );
  }
  /** Number of distinct places, as a power of two. */
  get rank(): number {
    return new Span([...this.columns.values()].flat()).rank;
  }
  /** How many inputs hold each element. */
  get copies(): number {
    return 2 ** ([...this.columns.values()].flat().length - this.rank);
  }
  /** Bits of `input` whose column depends on the other columns: inputs with such a bit set hold copies. */
  free(input: string): number {
    const list = this.columns.get(input) ?? [];
    const before = new Span([...this.columns].filter(([k]) => k !== input).flatMap(([, c]) => c));
    let mask = 0;
    list.forEach((c, b) => {
      if (!before.add(c)) mask |= 1 << b;
    });
    return mask;
  }
  /** The longest run along `name` that a thread holds in its lowest registers and no lane or warp cuts. */
  vector(name: string): number {
    const bits = this.outputs.find((o) => o.name === name)?.bits ?? 0;
    const at = this.offset(name);
    const registers = this.columns.get("register") ?? [];
    const others = [...this.columns].filter(([k]) => k !== "register").flatMap(([, c]) => c);
    const held = new Span(registers);
    let k = 0;
    while (k < bits) {
      const unit = 1 << (at + k);
      if (others.some((c) => (c & unit) !== 0) || held.add(unit)) break;
      k++;
    }
    return 1 << k;
  }
  equals(other: Layout): boolean {
    return this.toString() === other.toString();
  }
  /** `register  j+1 j+2 i+1` a line an input: what the lowest, the next, .. bit moves by. */
  toString(): string {
    const text = (column: number): string => {
      const parts = this.outputs.flatMap((o) => {
        const v = (column >> this.offset(o.name)) & ((1 << o.bits) - 1);
        return v === 0 ? [] : [`${o.name}+${v}`];
      });
      return parts.length ? parts.join("^") : "0";
    };
    return [...this.columns]
      .filter(([, list]) => list.length > 0)
      .map(([input, list]) => `${input} ${list.map(text).join(" ")}`)
      .join(" | ");
  }
}

/** What columns give by exclusive or. */
class Span {
  /** None has the highest bit of one before it. */
  private readonly rows: number[] = [];

  constructor(columns: readonly number[]) {
    for (const c of columns) this.add(c);
  }
  get rank(): number {
    return this.rows.length;
  }
  /** True where it was not among them before. */
  add(column: number): boolean {
    let rest = column;
    for (const r of this.rows) rest = Math.min(rest, rest ^ r);
    if (rest !== 0) this.rows.push(rest);
    return rest !== 0;
  }
}
