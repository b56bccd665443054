/** Where a block stands in the grid of its launch. */
import type { SizeExpr } from "../../runtime/abi.ts";
import type { Launch } from "../tile/ir.ts";
import type { NodeId, Nodes } from "./nodes.ts";

/** The block's place along an axis: the linear index unfolded, last axis fastest. */
export function blockOf(n: Nodes, grid: Launch["grid"], axis: string): NodeId {
  const k = grid.findIndex((g) => g.axis === axis);
  let rest = n.special("block");
  for (let i = grid.length - 1; i > k; i--) rest = n.op("truncdiv", [rest, sizeOf(n, grid[i]!.blocks)], "i32");
  return k === 0 ? rest : n.op("truncmod", [rest, sizeOf(n, grid[k]!.blocks)], "i32", `${axis}_block`);
}
function sizeOf(n: Nodes, e: SizeExpr): NodeId {
  if (typeof e === "number") return n.int(e);
  if (typeof e === "string") return n.uniform(e, "i32");
  const [op, x, y] = e;
  const [a, b] = [sizeOf(n, x), sizeOf(n, y)];
  if (op === "ceildiv") return n.op("truncdiv", [n.op("add", [a, n.op("sub", [b, n.int(1)], "i32")], "i32"), b], "i32");
  return n.op(({ "+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod", min: "min", max: "max" } as const)[op], [a, b], "i32");
}
