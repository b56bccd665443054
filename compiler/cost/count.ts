/**
 * What a block of a launch asks of each part of a multiprocessor, loop by loop: every statement of a loop once, its addresses computed for all
 * threads, the mean of blocks from all over the grid. Nothing is loaded, so what hangs on data (a segment's bounds) counts as 0.
 */
import { specialFunctions } from "../../dsl/tensor/ir.ts";
import { evaluateSize } from "../../runtime/abi.ts";
import { listOf } from "../lists.ts";
import { scalarFn } from "../scalar.ts";
import { bytesOf, children, contractionOf, type Expr, partsOf, type Stmt, type ThreadKernel } from "../thread/ir.ts";
import type { MapOp } from "../tile/ir.ts";

const warp = 32;
const sector = 32;
const banks = 32;
const special = new Set<MapOp>([...specialFunctions, "pow"]);

/** Of one turn of a loop, for a block. */
export interface Region {
  /** The loops around, outermost first; none: what stands outside of loops. */
  readonly path: readonly string[];
  /** How often it runs in a block. */
  turns: number;
  matrixFlops: number;
  /** Instructions of warps: a name, an operation or an access each. */
  instructions: number;
  /** Lanes of special functions. */
  special: number;
  /** Bytes of shared memory, at the width of a conflict-free access. */
  sharedBytes: number;
  /** Bytes in sectors of 32, each once for an access of a warp. */
  globalBytes: number;
}
/** Blocks that are looked at. */
const looked = 16;
const counts = ["matrixFlops", "instructions", "special", "sharedBytes", "globalBytes"] as const;

export function countBlock(kernel: ThreadKernel, values: Readonly<Record<string, number>>): Region[] {
  const blocks = evaluateSize(kernel.blocks, values);
  // All where they are few; else spread over the grid, by steps that meet no period of its axes.
  const spread = (k: number): number => (blocks <= looked ? k : Math.floor(((k * 0.618034) % 1) * blocks));
  const sample = [...new Set(listOf(Math.min(looked, blocks), (k) => spread(k)))];
  const all = sample.map((block) => {
    const counter = new Counter(kernel, values, block);
    counter.walk(kernel.body, counter.region([], 1));
    return counter.regions;
  });
  const [first] = all;
  return (first ?? []).flatMap((r, k) => {
    // Of one turn: blocks that turn more often weigh more.
    const turns = all.reduce((n, list) => n + list[k]!.turns, 0);
    const mean = { ...r, turns: turns / sample.length };
    for (const c of counts) mean[c] = all.reduce((n, list) => n + list[k]![c] * list[k]!.turns, 0) / Math.max(1, turns);
    return mean.turns > 0 && mean.instructions > 0 ? [mean] : [];
  });
}
type Lanes = Float64Array | undefined;

class Counter {
  readonly regions: Region[] = [];
  private readonly kernel: ThreadKernel;
  private readonly values: Readonly<Record<string, number>>;
  private readonly named = new Map<string, Lanes>();
  private readonly block: number;
  private readonly warps: number;

  constructor(kernel: ThreadKernel, values: Readonly<Record<string, number>>, block: number) {
    this.kernel = kernel;
    this.values = values;
    this.block = block;
    this.warps = Math.ceil(kernel.threads / warp);
  }
  region(path: readonly string[], turns: number): Region {
    const r: Region = { path, turns, matrixFlops: 0, instructions: 0, special: 0, sharedBytes: 0, globalBytes: 0 };
    this.regions.push(r);
    return r;
  }
  walk(body: readonly Stmt[], r: Region): void {
    for (const s of body) {
      const parts = partsOf(s).map((e) => this.lanes(e, r));
      switch (s.kind) {
        case "let":
        case "var":
        case "assign":
          this.named.set(s.name, parts[0]);
          if (s.kind !== "let") r.instructions += this.warps;
          break;
        case "for":
          this.loop(s, parts, r);
          break;
        case "if":
          r.instructions += this.warps;
          this.walk(s.then, r);
          break;
        case "store":
        case "merge":
          this.global(parts[0], unitBytes(this.kernel, s.buffer), r);
          break;
        case "loads":
        case "stores":
          this.global(parts[0], unitBytes(this.kernel, s.buffer), r, 16);
          break;
        case "copy":
          this.global(parts[1], unitBytes(this.kernel, s.buffer), r, 16);
          r.sharedBytes += 16 * this.kernel.threads;
          break;
        case "share":
          this.shared(parts[0], this.arrayBytes(s.array), r);
          break;
        case "shares":
        case "takes":
          r.instructions += this.warps;
          r.sharedBytes += this.warps * warp * 4 * (s.kind === "shares" ? s.values : s.outs).length;
          break;
        case "fragment":
          r.instructions += this.warps;
          r.sharedBytes += this.warps * warp * 4 * s.outs.length;
          break;
        case "mma":
          r.instructions += this.warps;
          r.matrixFlops += this.warps * 2 * 16 * 8 * 16;
          break;
        case "shuffle":
        case "barrier":
          r.instructions += this.warps;
          break;
        default:
          break;
      }
    }
  }
  private loop(s: Extract<Stmt, { kind: "for" }>, [from, to]: readonly Lanes[], r: Region): void {
    const first = from ? Math.min(...from) : 0;
    const turns = from && to ? Math.max(0, Math.ceil((Math.max(...to) - first) / s.step)) : 0;
    this.named.set(s.name, this.all(first + s.step * Math.floor(turns / 2)));
    const inner = this.region([...r.path, s.name], r.turns * turns);
    inner.instructions += 2 * this.warps;
    this.walk(s.body, inner);
  }
  private all(v: number): Float64Array {
    return new Float64Array(this.kernel.threads).fill(v);
  }
  /** Integers and truth values for each thread; undefined for other values, and what hangs on them. */
  private lanes(e: Expr, r: Region): Lanes {
    const args = children(e).map((c) => this.lanes(c, r));
    switch (e.kind) {
      case "const":
        return this.all(Number(e.value));
      case "name":
        return this.named.get(e.name);
      case "uniform":
        return this.values[e.name] === undefined ? undefined : this.all(this.values[e.name]!);
      case "thread":
        return Float64Array.from({ length: this.kernel.threads }, (_, t) => t);
      case "block":
        return this.all(this.block);
      case "load":
        this.global(args[0], unitBytes(this.kernel, e.buffer), r);
        return e.elem === "i32" || e.elem === "u32" ? this.all(0) : undefined;
      case "shared":
        this.shared(args[0], this.arrayBytes(e.array), r);
        return undefined;
      default: {
        r.instructions += this.warps;
        // The product goes with the sum.
        if (contractionOf(e)) r.instructions -= this.warps;
        if (special.has(e.op) || (e.op === "div" && (e.elem === "f32" || e.elem === "f64"))) r.special += this.kernel.threads;
        if (args.some((a) => a === undefined) || e.elem === "f32" || e.elem === "f64") return undefined;
        const f = scalarFn(e.op, e.elem, e.args[0]!.elem, e.args.length);
        const [a, b, c] = args;
        return Float64Array.from({ length: this.kernel.threads }, (_, t) => f(a![t]!, b?.[t] ?? 0, c?.[t] ?? 0));
      }
    }
  }
  private arrayBytes(name: string): number {
    return bytesOf(this.kernel.shared.find((a) => a.name === name)!.elem);
  }
  private global(at: Lanes, unit: number, r: Region, bytes = unit): void {
    r.instructions += this.warps;
    if (at === undefined) {
      r.globalBytes += bytes * this.kernel.threads;
      return;
    }
    for (let w = 0; w < at.length; w += warp) {
      const sectors = new Set<number>();
      for (const p of at.subarray(w, w + warp))
        for (let b = p * unit; b < p * unit + bytes; b += Math.min(bytes, sector)) sectors.add(Math.floor(b / sector));
      r.globalBytes += sectors.size * sector;
    }
  }
  private shared(at: Lanes, bytes: number, r: Region): void {
    r.instructions += this.warps;
    if (at === undefined) {
      r.sharedBytes += banks * 4 * this.warps;
      return;
    }
    for (let w = 0; w < at.length; w += warp) {
      const words = new Map<number, Set<number>>();
      for (const p of at.subarray(w, w + warp)) {
        const word = Math.floor((p * bytes) / 4);
        words.set(word % banks, (words.get(word % banks) ?? new Set<number>()).add(word));
      }
      r.sharedBytes += banks * 4 * Math.max(...[...words.values()].map((s) => s.size));
    }
  }
}
export const bytesOfUnit = { f64: 8, f32: 4, i32: 4, u32: 4, u16: 2, u8: 1 } as const;
const unitBytes = (kernel: ThreadKernel, buffer: string): number => bytesOfUnit[kernel.buffers.find((b) => b.name === buffer)!.unit];
