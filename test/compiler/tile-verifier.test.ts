/** What the tile level guarantees (compiler/tile/verify.ts): a launch of the library that breaks it in one place is refused, by what is wrong. */
import fs from "node:fs";
import { describe, expect, test } from "vitest";
import { compile, targets, variantsOf } from "../../compiler/index.ts";
import { Layout } from "../../compiler/layout/layout.ts";
import { TileLayout } from "../../compiler/layout/tile-layout.ts";
import { type Launch, launchesOf, type Op, outsOf, type TileProgram, type Value } from "../../compiler/tile/ir.ts";
import { verifyTileProgram } from "../../compiler/tile/verify.ts";
import { check, type TargetName } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";

function programOf(file: string, kernel: string, target: TargetName): TileProgram {
  const text = fs.readFileSync(file, "utf8");
  const checked = check(text);
  const instance = checked.instances.find((i) => i.kernel === kernel)!;
  return compile(instance, text, { target, schedule: variantsOf(checked, instance, target)[0]!.schedule }).tiles;
}
const programs = {
  attention: programOf(library.attention, "attention", "cuda"),
  marlin: programOf(library.gemm, "w4a16_marlin", "cuda"),
  staged: programOf(library.gemm, "w4a16", "wgsl"),
};
type Name = keyof typeof programs;
const targetOf = (name: Name) => (name === "staged" ? targets.wgsl : targets.cuda);
const verify = (name: Name, l: Launch): void =>
  verifyTileProgram({ ...programs[name], temps: [], steps: [{ kind: "launch", launch: l }] }, targetOf(name));
const launch = (name: Name): Launch => launchesOf(programs[name].steps)[0]!;

type Kind = Op["kind"];
type Of<K extends Kind> = Extract<Op, { kind: K }>;
const all = (ops: readonly Op[]): Op[] => ops.flatMap((o) => (o.kind === "loop" ? [o, ...all(o.body)] : [o]));
const swapped = (ops: readonly Op[], old: Op, made: Op): Op[] =>
  ops.map((o) => (o === old ? made : o.kind === "loop" ? { ...o, body: swapped(o.body, old, made) } : o));
/** The first operation of a kind for which there is something to break, broken. */
function breaking<K extends Kind>(name: Name, kind: K, f: (o: Of<K>, l: Launch, before: readonly Value[]) => Partial<Of<K>> | undefined) {
  const l = launch(name);
  const before: Value[] = [];
  for (const o of all(l.body)) {
    const changed = o.kind === kind ? f(o as Of<K>, l, before) : undefined;
    if (changed) return () => verify(name, { ...l, body: swapped(l.body, o, { ...o, ...changed } as Op) });
    before.push(...(o.kind === "loop" ? [o.index, ...o.carried.map((c) => c.phi)] : outsOf(o)));
  }
  throw new Error(`${name} has no ${kind} to break`);
}
/** The tile that the first operation of a kind makes, of another type or over other axes. */
function retiled(name: Name, kind: Kind, change: { readonly elem?: "i32" | "bool"; readonly axes?: readonly string[] }) {
  const l = launch(name);
  const out = outsOf(all(l.body).find((o) => o.kind === kind)!)[0]!;
  return () => verify(name, { ...l, tiles: l.tiles.map((t, v) => (v === out ? { ...t, ...change } : t)) });
}

describe("a launch", () => {
  test.each(Object.keys(programs) as Name[])("of %s is accepted", (name) => expect(() => verify(name, launch(name))).not.toThrow());
  test("with more threads than the target allows", () => {
    const { limits } = targets.cuda;
    const few = { ...targets.cuda, limits: { ...limits, threads: 32 } };
    expect(() => verifyTileProgram(programs.attention, few)).toThrow(/threads a block, the target allows 32/);
  });
  test("whose tiles are larger than the layout", () => {
    const l = launch("attention");
    const axes = l.axes.map((a) => ({ ...a, extent: 2 * a.extent }));
    expect(() => verify("attention", { ...l, axes })).toThrow(/no layout holds a tile over/);
  });
  test("whose layout has an axis of another extent, or leaves elements out", () => {
    const l = launch("attention");
    expect(() => verify("attention", { ...l, axes: [...l.axes, { name: "more", extent: 4 }] })).toThrow(
      /axis more: the layout has 1, the tile 4/,
    );
    const outputs = l.axes.map((a) => ({ name: a.name, bits: Math.log2(a.extent) }));
    const columns = new Map([["lane", [0, 0, 0, 0, 0]]]);
    const layout = new TileLayout(new Layout(columns, [outputs[0]!]));
    for (const o of outputs.slice(1)) layout.add(new Layout(columns, [o]));
    expect(() => verify("attention", { ...l, layout })).toThrow(/the layout does not cover a tile over/);
  });
  test("with a tile over an axis that there is not", () =>
    expect(retiled("attention", "dim", { axes: ["nowhere"] })).toThrow(/varies over nowhere, which is no axis/));
  test("with a coordinate along an axis that there is not, or over another", () => {
    expect(breaking("attention", "coordinate", () => ({ axis: "nowhere" }))).toThrow(/no axis nowhere/);
    expect(breaking("attention", "coordinate", (o, l) => ({ axis: l.axes.find((a) => a.name !== o.axis)!.name }))).toThrow(
      /varies over the axes/,
    );
  });
});

describe("a value", () => {
  const body = (f: (ops: readonly Op[]) => readonly Op[]) => {
    const l = launch("attention");
    return () => verify("attention", { ...l, body: f(l.body) });
  };
  test("that is never made, or made after it is used", () =>
    expect(body((ops) => ops.filter((o) => o.kind !== "block"))).toThrow(/is used before it is made or outside its loop/));
  test("that is used outside its loop", () => {
    const l = launch("attention");
    const loop = l.body.find((o) => o.kind === "loop" && o.carried.length > 0) as Of<"loop">;
    const after: Op = { kind: "map", op: "neg", out: l.tiles.length, args: [loop.carried[0]!.phi] };
    const tiles = [...l.tiles, l.tiles[loop.carried[0]!.phi]!];
    expect(() => verify("attention", { ...l, tiles, body: [...l.body, after] })).toThrow(/is used before it is made or outside its loop/);
  });
  test("that is made twice", () => expect(body((ops) => [ops.find((o) => o.kind === "block")!, ...ops])).toThrow(/is made twice/));
});

describe("a map", () => {
  test("over other axes than its operands have", () =>
    expect(
      breaking("attention", "map", ({ args, out }, l) => {
        const axes = (v: Value) => l.tiles[v]!.axes.length;
        const least = args.find((a) => axes(a) < axes(out) && l.tiles[a]!.elem === l.tiles[out]!.elem);
        return least === undefined ? undefined : { args: args.map(() => least) };
      }),
    ).toThrow(/are not those of its operands/));
  test("that compares what it cannot", () => {
    const f32 = ({ op, out }: Of<"map">, l: Launch) => op === "mul" && l.tiles[out]!.elem === "f32";
    expect(breaking("attention", "map", (o, l) => (f32(o, l) ? { op: "lt" } : undefined))).toThrow(/lt of f32 and f32/);
  });
  test("that calculates with what it cannot", () => {
    expect(breaking("attention", "map", (o) => (o.op === "lt" ? { op: "add" } : undefined))).toThrow(/add of i32 and i32 gives bool/);
  });
  test("that selects by a number", () =>
    expect(breaking("attention", "map", ({ op, args: [a, b, c] }) => (op === "select" ? { args: [b!, a!, c!] } : undefined))).toThrow(
      /select of bool and/,
    ));
});

describe("memory", () => {
  test("that the launch does not have", () => {
    expect(breaking("marlin", "load", () => ({ buffer: "nothing" }))).toThrow(/no buffer nothing/);
    expect(breaking("attention", "issue", () => ({ buffer: "nothing" }))).toThrow(/no buffer nothing/);
    expect(breaking("attention", "store", () => ({ buffer: "nothing" }))).toThrow(/store to nothing, which the launch does not write/);
    for (const kind of ["issue", "slot"] as const)
      expect(breaking("attention", kind, () => ({ ring: "nothing" }))).toThrow(/no ring nothing/);
  });
  test("that is only read, and one with a guard that is a number", () => {
    const l = launch("attention");
    const buffers = l.buffers.map((b) => ({ ...b, access: "read" as const }));
    expect(() => verify("attention", { ...l, buffers })).toThrow(/store to out, which the launch does not write/);
    expect(breaking("attention", "store", (o) => ({ guard: o.at }))).toThrow(/store out: position i32/);
  });
  test("at a place that is no integer", () => {
    expect(breaking("marlin", "load", (o, l, before) => like(l, before, o.at, "f32"))).toThrow(/load \w+: position f32/);
    expect(breaking("attention", "store", (o) => ({ at: o.value }))).toThrow(/store out: position f32/);
  });
  const like = (l: Launch, before: readonly Value[], v: Value, elem: string) => {
    const at = before.find((b) => l.tiles[b]!.elem === elem && l.tiles[b]!.axes.join() === l.tiles[v]!.axes.join());
    return at === undefined ? undefined : { at };
  };
  test("of a ring that holds no values, and one that is filled by another tile", () => {
    const l = launch("staged");
    const copied = l.rings.map((r) => ({ ...r, values: false }));
    expect(() => verify("staged", { ...l, rings: copied })).toThrow(/no ring of values/);
    for (const name of ["staged", "attention"] as const) {
      const one = launch(name);
      const rings = one.rings.map((r) => ({ ...r, copy: { ...r.copy, slow: { name: "nowhere", extent: 1 } } }));
      expect(() => verify(name, { ...one, rings })).toThrow(/is filled by a tile over/);
    }
  });
  test("whose slot is another for each element", () => {
    expect(breaking("attention", "issue", (o) => ({ slot: o.at }))).toThrow(/a slot that varies/);
    expect(breaking("staged", "put", (o) => ({ slot: o.value }))).toThrow(/a slot that varies/);
  });
});

describe("a reduction", () => {
  test("over an axis that its values do not have, or to another type", () => {
    expect(breaking("attention", "reduce", (o, l) => ({ over: l.axes.find((a) => a.name !== o.over)!.name }))).toThrow(
      /a reduction over \w+\S* to axes/,
    );
    expect(retiled("attention", "reduce", { elem: "i32" })).toThrow(/a reduction over \S+ of f32 to i32/);
  });
});

describe("a product", () => {
  test("in shares that its result does not have", () =>
    expect(breaking("marlin", "dot", (o) => (o.axes.share ? { axes: { ...o.axes, share: o.axes.over } } : undefined))).toThrow(
      /a product in shares, without/,
    ));
  test("of factors over other axes", () => {
    expect(breaking("attention", "dot", (o) => ({ a: o.b }))).toThrow(/a factor over/);
    expect(breaking("attention", "dot", (o) => ({ b: o.a }))).toThrow(/a factor over/);
  });
  test("without its rows or columns", () => expect(retiled("attention", "dot", { axes: [] })).toThrow(/without its rows or columns/));
  test("added to what has other axes", () =>
    expect(breaking("attention", "dot", (o) => ({ acc: o.a }))).toThrow(/an accumulator over other axes/));
  test("of as many columns as the second factor does not have", () =>
    expect(
      breaking("attention", "dot", (o, l) =>
        l.layout.extent(o.axes.rows) === l.layout.extent(o.axes.other) ? undefined : { axes: { ...o.axes, columns: o.axes.rows } },
      ),
    ).toThrow(/ and \S+ differ/));
});

describe("a conversion", () => {
  test("to an axis of another extent, one that is named twice, or none", () => {
    const other = (o: Of<"convert">, l: Launch) => l.axes.find((a) => a.extent !== l.layout.extent(o.to[0]![0]))!.name;
    expect(breaking("attention", "convert", (o, l) => (o.to[0] ? { to: [[o.to[0][0], other(o, l)]] } : undefined))).toThrow(/ becomes /);
    expect(breaking("attention", "convert", (o) => (o.to[0] ? { to: [o.to[0], o.to[0]] } : undefined))).toThrow(/ becomes /);
    expect(breaking("attention", "convert", (o) => (o.to[0] ? { to: [] } : undefined))).toThrow(/a conversion to axes .* of a tile over/);
  });
  test("to another type", () => expect(retiled("attention", "convert", { elem: "i32" })).toThrow(/a conversion of f32 to i32/));
});

describe("a loop", () => {
  test("that makes no step", () => expect(breaking("attention", "loop", () => ({ step: 0 }))).toThrow(/loop bounds/));
  test("whose bounds are no integers", () =>
    expect(breaking("attention", "loop", (o) => (o.carried[0] ? { to: o.carried[0].init } : undefined))).toThrow(/loop bounds/));
  const init = (v: (o: Of<"loop">, l: Launch) => Value | undefined) =>
    breaking("attention", "loop", (o, l) => {
      const made = v(o, l);
      return made === undefined ? undefined : { carried: o.carried.map((c, k) => (k === 0 ? { ...c, init: made } : c)) };
    });
  test("that carries values of two types", () =>
    expect(init((o) => (o.carried[0] ? o.from : undefined))).toThrow(/a carried value changes its type/));
  test("that carries values over other axes than it began with", () =>
    expect(
      breaking("attention", "loop", (o, l) => {
        const wide = o.carried.find((c) => o.carried.some((d) => l.tiles[c.phi]!.axes.some((a) => !l.tiles[d.phi]!.axes.includes(a))));
        const narrow = o.carried.find((d) => wide && l.tiles[wide.phi]!.axes.some((a) => !l.tiles[d.phi]!.axes.includes(a)));
        return wide && narrow ? { carried: o.carried.map((c) => (c === narrow ? { ...c, next: wide.next } : c)) } : undefined;
      }),
    ).toThrow(/a carried value varies over \S+, which its loop does not carry/));
});
