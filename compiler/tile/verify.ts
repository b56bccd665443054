/**
 * What the tile level guarantees after lowering, and what the passes below rely on:
 * 1. every value is made before it is used, once, and used only where its loop is open;
 * 2. the axes of a value are the union of its operands' axes, a reduction's less the one it folds, and all are axes of the launch;
 * 3. positions are i32, guards bool; operands of a map have the types that its operation takes;
 * 4. a loop carries values of one type and set of axes; its bounds are i32;
 * 5. every buffer is declared, and written only where it says so; temporaries are written before they are read;
 * 6. a conversion keeps elements and extents, and there is a way from one layout to the other;
 * 7. the layout covers every tile, and a block has no more threads than the target allows.
 */
import { InternalError, invariant } from "../../dsl/diagnostics.ts";
import type { Target } from "../targets/target.ts";
import { planOf } from "./convert.ts";
import { type Launch, launchesOf, type Op, type TileProgram, threadsOf, type Value } from "./ir.ts";

export function verifyTileProgram(p: TileProgram, target: Target): void {
  const written = new Set<string>();
  const temps = new Set(p.temps.map((t) => t.name));
  for (const l of launchesOf(p.steps)) {
    verifyLaunch(l, target);
    for (const b of l.buffers)
      if (b.access !== "write" && temps.has(b.name))
        invariant(written.has(b.name) || b.access === "read_write", `${l.name}: temporary ${b.name} is read before it is written`);
    for (const b of l.buffers) if (b.access !== "read") written.add(b.name);
  }
}

function verifyLaunch(l: Launch, target: Target): void {
  /** The text is made only for a failure: this runs after every lowering. */
  const check = (ok: boolean, text: () => string): void => {
    if (!ok) throw new InternalError(`${l.name}: ${text()}`);
  };
  check(threadsOf(l) <= target.limits.threads, () => `${threadsOf(l)} threads a block, the target allows ${target.limits.threads}`);
  const covered = new Set<string>();
  for (const t of l.tiles) {
    const key = t.axes.join();
    if (covered.has(key)) continue;
    covered.add(key);
    const own = l.layout.over(t.axes);
    for (const a of t.axes)
      check(l.layout.extent(a) === (l.axes.find((x) => x.name === a)?.extent ?? 1), () => `no layout holds a tile over ${key}`);
    check(own.rank === own.size, () => `the layout does not cover a tile over ${key}`);
  }
  for (const a of l.axes) {
    const held = l.layout.extent(a.name);
    check(held === a.extent, () => `axis ${a.name}: the layout has ${held}, the tile ${a.extent}`);
  }
  const names = new Set(l.axes.map((a) => a.name));
  const buffers = new Map(l.buffers.map((b) => [b.name, b]));
  const rings = new Map(l.rings.map((r) => [r.name, r]));
  /** In the order in which they are made. */
  const made = new Set<Value>();
  const order: Value[] = [];
  const axesOf = (v: Value) => l.tiles[v]!.axes;
  const elem = (v: Value) => l.tiles[v]!.elem;
  const use = (v: Value): void => check(made.has(v), () => `value ${v} is used before it is made or outside its loop`);
  const make = (v: Value): void => {
    check(!made.has(v), () => `value ${v} is made twice`);
    for (const a of axesOf(v)) check(names.has(a), () => `value ${v} varies over ${a}, which is no axis of the launch`);
    made.add(v);
    order.push(v);
  };
  /** Axes as bits, so that comparing sets costs nothing. */
  const bit = new Map(l.axes.map((a, k) => [a.name, 1 << k]));
  const bits = l.tiles.map((t) => t.axes.reduce((m, a) => m | (bit.get(a) ?? 0), 0));
  const spans = (v: Value, list: readonly Value[]): void =>
    check(bits[v] === list.reduce((m, x) => m | bits[x]!, 0), () => `value ${v}: axes ${axesOf(v).join()} are not those of its operands`);
  const body = (ops: readonly Op[]): void => {
    for (const o of ops) {
      switch (o.kind) {
        case "comment":
          break;
        case "coordinate":
          check(names.has(o.axis), () => `no axis ${o.axis}`);
          check(axesOf(o.out).join() === o.axis, () => `a coordinate along ${o.axis} varies over the axes ${axesOf(o.out).join()}`);
          make(o.out);
          break;
        case "map": {
          o.args.forEach(use);
          make(o.out);
          spans(o.out, o.args);
          const compares = ["lt", "le", "gt", "ge", "eq", "ne"].includes(o.op);
          const [a, b, c] = o.args as [Value, Value, Value];
          if (compares) check(elem(a) === elem(b) && elem(o.out) === "bool", () => `${o.op} of ${elem(a)} and ${elem(b)}`);
          if (["add", "sub", "mul", "min", "max", "truncdiv", "truncmod"].includes(o.op))
            check(elem(a) === elem(b) && elem(a) === elem(o.out), () => `${o.op} of ${elem(a)} and ${elem(b)} gives ${elem(o.out)}`);
          if (o.op === "select")
            check(elem(a) === "bool" && elem(b) === elem(c) && elem(b) === elem(o.out), () => `select of ${elem(b)} and ${elem(c)}`);
          break;
        }
        case "load": {
          const args = o.guard === undefined ? [o.at] : [o.at, o.guard];
          args.forEach(use);
          make(o.out);
          spans(o.out, args);
          check(buffers.has(o.buffer), () => `no buffer ${o.buffer}`);
          check(
            elem(o.at) === "i32" && (o.guard === undefined || elem(o.guard) === "bool"),
            () => `load ${o.buffer}: position ${elem(o.at)}`,
          );
          break;
        }
        case "store": {
          [o.at, o.value, ...(o.guard === undefined ? [] : [o.guard])].forEach(use);
          const b = buffers.get(o.buffer);
          check(b !== undefined && b.access !== "read", () => `store to ${o.buffer}, which the launch does not write`);
          check(
            elem(o.at) === "i32" && (o.guard === undefined || elem(o.guard) === "bool"),
            () => `store ${o.buffer}: position ${elem(o.at)}`,
          );
          break;
        }
        case "reduce":
          o.values.forEach(use);
          check(names.has(o.over), () => `no axis ${o.over}`);
          o.outs.forEach((v, k) => {
            make(v);
            const all = o.values.reduce((m, x) => m | bits[x]!, 0) & ~(bit.get(o.over) ?? 0);
            check(bits[v] === all, () => `a reduction over ${o.over} to axes ${axesOf(v).join()}`);
            check(!axesOf(v).includes(o.over) && elem(v) === elem(o.values[k]!), () => `a reduction over ${o.over} keeps the axis`);
          });
          break;
        case "issue": {
          [o.slot, o.at, ...(o.guard === undefined ? [] : [o.guard])].forEach(use);
          check(buffers.has(o.buffer), () => `no buffer ${o.buffer}`);
          const r = rings.get(o.ring);
          check(r !== undefined, () => `no ring ${o.ring}`);
          const own = [r!.copy.slow.name, r!.copy.piece.name];
          for (const v of [o.at, ...(o.guard === undefined ? [] : [o.guard])])
            check(
              axesOf(v).every((a) => own.includes(a)),
              () => `${o.ring} is filled by a tile over ${axesOf(v).join()}`,
            );
          check(axesOf(o.slot).length === 0, () => "a slot that varies over the tile");
          break;
        }
        case "put": {
          [o.slot, o.value].forEach(use);
          const r = rings.get(o.ring);
          check(r?.values === true, () => `no ring of values ${o.ring}`);
          check(
            axesOf(o.value).every((a) => a === r!.copy.slow.name || a === r!.copy.piece.name),
            () => `${o.ring} is filled by a tile over ${axesOf(o.value).join()}`,
          );
          check(axesOf(o.slot).length === 0, () => "a slot that varies over the tile");
          break;
        }
        case "commit":
        case "land":
        case "meet":
          break;
        case "slot":
          use(o.slot);
          make(o.out);
          check(rings.has(o.ring), () => `no ring ${o.ring}`);
          break;
        case "dot": {
          [o.a, o.b, o.acc].forEach(use);
          make(o.out);
          const { rows, columns, over, other, share } = o.axes;
          for (const a of [rows, columns, over, other, ...(share ? [share] : [])]) check(names.has(a), () => `no axis ${a}`);
          check(share === undefined || axesOf(o.out).includes(share), () => `a product in shares, without ${share}`);
          check(
            axesOf(o.a).every((a) => a === rows || a === over),
            () => `a factor over ${axesOf(o.a).join()}`,
          );
          check(
            axesOf(o.b).every((a) => a === other || a === over),
            () => `a factor over ${axesOf(o.b).join()}`,
          );
          check(axesOf(o.out).includes(rows) && axesOf(o.out).includes(columns), () => "a product without its rows or columns");
          check(
            axesOf(o.acc).every((a) => axesOf(o.out).includes(a)),
            () => "an accumulator over other axes than its product",
          );
          check(l.layout.extent(columns) === l.layout.extent(other), () => `${columns} and ${other} differ`);
          break;
        }
        case "convert": {
          use(o.value);
          make(o.out);
          const names = new Map(o.to);
          for (const [a, b] of o.to) {
            check(names.size === o.to.length && names.has(a) && l.layout.extent(a) === l.layout.extent(b), () => `${a} becomes ${b}`);
          }
          const wanted = axesOf(o.value).map((a) => names.get(a) ?? a);
          check(elem(o.out) === elem(o.value), () => `a conversion of ${elem(o.value)} to ${elem(o.out)}`);
          check(
            bits[o.out] === wanted.reduce((m, a) => m | (bit.get(a) ?? 0), 0),
            () => `a conversion to axes ${axesOf(o.out).join()} of a tile over ${wanted.join()}`,
          );
          planOf(l, o);
          break;
        }
        case "loop": {
          [o.from, o.to, ...o.carried.map((c) => c.init)].forEach(use);
          check(elem(o.from) === "i32" && elem(o.to) === "i32" && o.step >= 1, () => "loop bounds");
          const before = order.length;
          make(o.index);
          for (const c of o.carried) make(c.phi);
          body(o.body);
          for (const c of o.carried) {
            use(c.next);
            check(elem(c.next) === elem(c.phi) && elem(c.init) === elem(c.phi), () => "a carried value changes its type");
            for (const v of [c.init, c.next])
              for (const a of axesOf(v))
                check(axesOf(c.phi).includes(a), () => `a carried value varies over ${a}, which its loop does not carry`);
          }
          for (const v of order.splice(before)) made.delete(v);
          for (const c of o.carried) make(c.out);
          break;
        }
        default:
          make(o.out);
      }
    }
  };
  body(l.body);
}
