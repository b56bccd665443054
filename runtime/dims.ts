/** The dimensions of a call: fixed by the instance, or solved from the shapes of its tensors. */
import { type Artifact, evaluateSize, type SizeExpr, sizeText } from "./abi.ts";
import { WeftError } from "./errors.ts";
import type { HostTensor } from "./tensor.ts";

/** Dimensions that the instance binds. */
export const fixedDims = (a: Artifact): Record<string, number> =>
  Object.fromEntries(a.dims.flatMap((d) => (d.value === undefined ? [] : [[d.name, d.value]])));
/** The size, where the values determine it. */
export function known(e: SizeExpr, values: Readonly<Record<string, number>>): number | undefined {
  try {
    return evaluateSize(e, values);
  } catch {
    return undefined;
  }
}

/** A dimension follows where it stands alone in a shape, or is the one unknown of a product or sum, the others solved first (rule 5). */
export function solveDims(artifact: Artifact, tensors: ReadonlyMap<string, HostTensor>, values: Record<string, number>): void {
  const equations: { e: SizeExpr; size: number; name: string; axis: number }[] = [];
  for (const p of artifact.params) {
    const t = tensors.get(p.name);
    if (p.kind === "tensor" && t) p.shape.forEach((e, k) => equations.push({ e, size: t.shape[k]!, name: p.name, axis: k }));
  }
  const fail = (q: (typeof equations)[number], why: string): never => {
    throw new WeftError("R103", `${artifact.kernel}: axis ${q.axis} of \`${q.name}\` is ${q.size}, which must be ${sizeText(q.e)}: ${why}`);
  };
  for (let progress = true; progress; ) {
    progress = false;
    for (const q of equations) {
      const unknown = unknowns(q.e, values);
      if (unknown.length !== 1) continue;
      const v = solveFor(q.e, q.size, values);
      if (v === undefined) continue;
      if (!Number.isInteger(v) || v < 0) fail(q, `no whole ${unknown[0]} gives it`);
      values[unknown[0]!] = v;
      progress = true;
    }
  }
}
const unknowns = (e: SizeExpr, values: Readonly<Record<string, number>>): string[] =>
  typeof e === "number"
    ? []
    : typeof e === "string"
      ? values[e] === undefined
        ? [e]
        : []
      : [...new Set([...unknowns(e[1], values), ...unknowns(e[2], values)])];
function solveFor(e: SizeExpr, size: number, values: Readonly<Record<string, number>>): number | undefined {
  if (typeof e === "string") return size;
  if (typeof e === "number") return undefined;
  const [op, a, b] = e;
  const open = unknowns(a, values).length > 0;
  if (open && unknowns(b, values).length > 0) return undefined;
  const other = evaluateSize(open ? b : a, values);
  const inner = open ? a : b;
  if (op === "*") return other === 0 ? (size === 0 ? 1 : Number.NaN) : solveFor(inner, size / other, values);
  if (op === "+") return solveFor(inner, size - other, values);
  if (op === "-") return solveFor(inner, open ? size + other : other - size, values);
  return undefined;
}
