/** Tile IR as text: one operation a line, values by the user's names where they have one. */
import { sizeText } from "../../runtime/abi.ts";
import { planOf } from "./convert.ts";
import type { Launch, Op, Step, TileProgram, Value } from "./ir.ts";
import { threadsOf } from "./ir.ts";

export function printTileProgram(p: TileProgram): string {
  const temps = p.temps.map((t) => `temp ${t.name}: ${t.elem}[${sizeText(t.count)}]`);
  return [...temps, ...p.steps.map((s) => printStep(s, ""))].join("\n");
}
function printStep(s: Step, indent: string): string {
  if (s.kind === "repeat")
    return `${indent}repeat ${s.name} in 0..${sizeText(s.count)} {\n${s.steps.map((x) => printStep(x, `${indent}  `)).join("\n")}\n${indent}}`;
  return printLaunch(s.launch)
    .split("\n")
    .map((l) => indent + l)
    .join("\n");
}
export function printLaunch(l: Launch): string {
  const head = `launch ${l.name}  grid (${l.grid.map((g) => `${g.axis}: ${sizeText(g.blocks)}`).join(", ")})  threads ${threadsOf(l)}`;
  const axes = l.axes.length > 0 ? [`  tile ${l.axes.map((a) => `${a.name} ${a.extent}`).join(", ")}`] : [];
  const layout = l.axes.length > 0 ? [`  layout ${l.layout}`] : [];
  const rings = l.rings.map(
    (r) => `  ring ${r.name}: ${r.elem}[${r.slow.name} ${r.slow.extent}, ${r.fast.name} ${r.fast.extent}], ${r.slots} slots`,
  );
  return [head, ...axes, ...layout, ...rings, ...printOps(l, l.body, "  ")].join("\n");
}
function printOps(l: Launch, ops: readonly Op[], indent: string): string[] {
  const v = (x: Value): string => `${l.tiles[x]!.name ?? "v"}.${x}`;
  const type = (x: Value): string => `${l.tiles[x]!.elem}[${l.tiles[x]!.axes.join(", ")}]`;
  return ops.flatMap((o): string[] => {
    switch (o.kind) {
      case "const":
        return [`${indent}${v(o.out)} = ${o.value}`];
      case "dim":
      case "scalar":
      case "step":
        return [`${indent}${v(o.out)} = ${o.kind} ${o.name}`];
      case "block":
        return [`${indent}${v(o.out)} = block ${o.axis}`];
      case "coordinate":
        return [`${indent}${v(o.out)}: ${type(o.out)} = coordinate ${o.axis}`];
      case "map":
        return [`${indent}${v(o.out)}: ${type(o.out)} = ${o.op} ${o.args.map(v).join(", ")}`];
      case "load":
        return [
          `${indent}${v(o.out)}: ${type(o.out)} = load ${o.buffer}[${v(o.at)}]${o.guard === undefined ? "" : ` where ${v(o.guard)}`}`,
        ];
      case "store":
        return [`${indent}store ${o.buffer}[${v(o.at)}] = ${v(o.value)}${o.guard === undefined ? "" : ` where ${v(o.guard)}`}`];
      case "reduce":
        return [
          `${indent}${o.outs.map(v).join(", ")}: ${type(o.outs[0]!)} = reduce ${o.by.kind}${o.by.kind === "monoid" ? ` ${o.by.name}` : ""} ${o.values.map(v).join(", ")} over ${o.over}`,
        ];
      case "issue":
        return [`${indent}issue ${o.ring}(${v(o.slot)}) <- ${o.buffer}[${v(o.at)}]${o.guard === undefined ? "" : ` where ${v(o.guard)}`}`];
      case "commit":
        return [`${indent}commit`];
      case "put":
        return [`${indent}put ${o.ring}(${v(o.slot)}) <- ${v(o.value)}`];
      case "meet":
        return [`${indent}meet`];
      case "land":
        return [`${indent}land, leave ${o.leave}`];
      case "slot":
        return [`${indent}${v(o.out)}: ${type(o.out)} = slot ${o.ring}(${v(o.slot)})`];
      case "dot":
        return [
          `${indent}${v(o.out)}: ${type(o.out)} = dot ${o.form}${o.cut ? " cut" : ""} ${v(o.a)}, ${v(o.b)} over ${o.axes.over}${o.axes.share ? ` in shares ${o.axes.share}` : ""} + ${v(o.acc)}`,
        ];
      case "convert": {
        const plan = planOf(l, o);
        const how = plan.kind === "shuffles" ? `${plan.exchanges.length} exchanges of lanes` : plan.kind;
        return [`${indent}${v(o.out)}: ${type(o.out)} = convert ${v(o.value)} as ${o.held}: ${how}`];
      }
      case "loop":
        return [
          `${indent}loop ${v(o.index)} in ${v(o.from)}..${v(o.to)} step ${o.step}`,
          ...o.carried.map((c) => `${indent}    carried ${v(c.phi)}: ${type(c.phi)} = ${v(c.init)}, next ${v(c.next)}, after ${v(c.out)}`),
          ...printOps(l, o.body, `${indent}  `),
        ];
      case "comment":
        return [`${indent}// ${o.text}${o.line ? ` (line ${o.line})` : ""}`];
      default:
        return o satisfies never;
    }
  });
}
