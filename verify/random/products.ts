/** Random sums of products of narrow floats or integers, for the matrix unit: operands of every form and orientation, conditions, batches, epilogues. */
import type { Tape } from "./tape.ts";

/** The text of a kernel `f` with a schedule for CUDA whose tile a matrix unit can take. Choices of 0 give the simplest. */
export function randomProduct(tape: Tape): string {
  const elem = tape.pick(["f16", "bf16", "i8", "f8e4m3", "f8e5m2"]);
  const bytes = elem === "i8";
  /** Elements that fill 16 bytes. */
  const width = elem.endsWith("16") ? 8 : 16;
  const batch = tape.chance(30);
  const outer = tape.chance(15);
  const lead = [...(batch ? ["B"] : []), ...(outer ? ["H"] : [])];
  const at = [...(batch ? ["b"] : []), ...(outer ? ["h"] : [])];
  const params: string[] = [];
  const requires = tape.pick([
    [],
    [`K % ${width} == 0`],
    [`K % ${width} == 0`, `M % ${width} == 0`, `N % ${width} == 0`],
    [`M % ${width} == 0`, `N % ${width} == 0`],
  ]);
  const layouts: string[] = [];
  /** A layout of packed weights: eight in a word along either dimension. */
  const packing = (): string => {
    const place = tape.pick(["", "word: (a / 8) * B + b, bit: 4 * (a % 8)", "word: a * ((B + 7) / 8) + b / 8, bit: 4 * (b % 8)"]);
    if (lead.length > 0 || place === "") return "";
    const name = `packed${layouts.length}`;
    layouts.push(`layout ${name}[A, B](a, b) = (${place})
`);
    return ` layout ${name}`;
  };
  /** An operand over an own index and k, and how it is read. */
  const operand = (name: string, extent: string, index: string): string => {
    const [dims, subscripts] = tape.chance(50)
      ? [
          ["K", extent],
          ["k", index],
        ]
      : [
          [extent, "K"],
          [index, "k"],
        ];
    const shape = `[${[...lead, ...dims].join(", ")}]`;
    const read = `${name}[${[...at, ...subscripts].join(", ")}]`;
    if (bytes) {
      params.push(`${name}: ${tape.pick(["i8", "i8", "i8", "i4", "u4", "u2"])}${shape}`);
      return read;
    }
    switch (tape.pick([0, 0, 0, 0, 1, 2, 3, 4, 5, 6])) {
      case 1:
        params.push(`${name}: f32${shape}`);
        return `relax<${elem}>(${read})`;
      case 2:
        params.push(`${name}: f32${shape}`, `${name}s: f32[${extent}]`);
        return `${elem}(${read} * ${name}s[${index}])`;
      case 3:
        params.push(`${name}: i8${shape}`, `${name}s: f32[${extent}]`);
        return `relax<${elem}>(f32(${read}) * ${name}s[${index}])`;
      case 4:
        params.push(`${name}: u4${shape}${packing()}`);
        return `relax<${elem}>(f32(${read} - 8))`;
      case 6: {
        // A scale for each group, along the sum or along the own index.
        const group = tape.pick([32, 16, 64, 3]);
        const groups = (of: string): string => `(${of} + ${group - 1}) / ${group}`;
        const [scales, place] = tape.chance(50)
          ? [`${groups("K")}, ${extent}`, `k / ${group}, ${index}`]
          : [`K, ${groups(extent)}`, `k, ${index} / ${group}`];
        params.push(`${name}: u4${shape}`, `${name}g: f16[${scales}]`);
        return `relax<${elem}>(f32(${read} - 8) * ${name}g[${place}])`;
      }
      case 5:
        params.push(`${name}: ${tape.pick(["f8e4m3", "f8e5m2"])}${shape}`);
        return read;
      default:
        params.push(`${name}: ${elem}${shape}`);
        return read;
    }
  };
  const [a, b] = [operand("x", "M", "i"), operand("y", "N", "j")];
  // All of the index, or from and to where a step may not begin or end.
  const range = tape.pick([
    "k: K",
    "k: K",
    "k: K",
    "k: K",
    "k in min(5, K)..K",
    `k in min(${width}, K)..K`,
    "k in 0..K / 2",
    "k in K / 3..K",
  ]);
  const axes = `${outer ? "h: H, " : ""}${range}`;
  const where = tape.pick([
    ...["", "", "", " where k <= i", " where k >= j", " where k % 3 != 1", " where k < n[i]", " where k <= i + j"],
    ...[" where k >= 3", " where k >= L", " where k < L"],
  ]);
  if (where.includes("n[i]")) params.push("n: i32[M]");
  const factors = tape.chance(50) ? `${a} * ${b}` : `${b} * ${a}`;
  // Products that a unit of 8 bits may cut, and some that it may not.
  const eights = elem.startsWith("f8");
  const relaxed = bytes ? "" : tape.pick(eights ? ["", "relax<bf16>", "relax<bf16>"] : ["", "", "", "relax<bf16>", "relax<f16>"]);
  const product = `(sum(${axes}${where}) ${relaxed === "" ? factors : `${relaxed}(${factors})`})`;
  const result = [...(batch ? ["b"] : []), "i", "j"].join(", ");
  const [zero, some, scaled] = bytes ? ["0", "7", "f32(PRODUCT)"] : ["0.0", "0.25", "0.5 * PRODUCT"];
  const form = tape.pick([
    "PRODUCT",
    scaled!,
    "PRODUCT + bias[j]",
    `max(PRODUCT * bias[j], ${zero})`,
    `if j <= i then PRODUCT else ${some}`,
    "PRODUCT + (sum(k: K) z[i, k])",
  ]);
  const epilogue = form.replaceAll("PRODUCT", product);
  const type = bytes && form !== scaled ? "i32" : "f32";
  if (epilogue.includes("bias")) params.push(`bias: ${type}[N]`);
  if (epilogue.includes("z[i")) params.push(`z: ${type}[M, K]`);
  // A sum of a known length may be one step.
  const length = tape.chance(15) ? tape.pick([16, 32, 5 * width]) : undefined;
  const dims = ["M", "N", length === undefined ? "K" : "K: static", ...lead, ...(where.endsWith("L") ? ["L"] : [])].join(", ");
  const instance = length === undefined ? "" : `instance f { K: ${length} }\n`;
  const out = `[${[...(batch ? ["B"] : []), "M", "N"].join(", ")}]`;
  const given = requires.length > 0 ? ` where ${requires.join(", ")}` : "";
  const domain = tape.chance(10) ? " where j <= i" : "";
  const value = domain
    ? `let d[${result}]${domain} = ${epilogue}\n  c[${result}] = d[${result}] else ${type === "i32" ? "-1" : "-1.0"}`
    : `c[${result}] = ${epilogue}`;
  const size = (list: readonly number[]): number => tape.pick(list);
  const tile = `tile i: ${size([16, 32])}, j: ${size([16, 8, 32])}, k: ${size(eights ? [32, 64] : [16, 32])}`;
  const unit = tape.chance(eights ? 85 : 20) ? " with f8" : "";
  const schedule = tape.chance(20) ? "" : `schedule f on cuda${unit} { ${tile}; warps ${size([1, 2, 4])} }\n`;
  return `${layouts.join("")}kernel f[${dims}](${params.join(", ")}) -> (c: ${bytes ? type : tape.pick(["f32", elem])}${out})${given} {\n  ${value}\n}\n${instance}${schedule}`;
}
