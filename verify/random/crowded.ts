/** Random kernels with more tensors than a device binds: of many types and shapes, read and written, in one launch or several. */
import type { Tape } from "./tape.ts";

const floats = ["f32", "f16", "bf16", "f8e4m3"];
const integers = ["i32", "u8", "i8", "u4", "i16"];
const outputs = ["f32", "f32", "f16", "bf16", "i32"];
const shapes = ["[M]", "[N]", "[M, N]"];
/** How an element of each shape is read. */
const element: Readonly<Record<string, string>> = { "[M]": "[i]", "[N]": "[j]", "[M, N]": "[i, j]" };

/** The text of a kernel `f`. Choices of 0 give the simplest. */
export function randomCrowd(tape: Tape): string {
  const params = Array.from({ length: 7 + tape.draw(8) }, (_, k) => {
    const float = tape.chance(60);
    return { name: `x${k}`, float, elem: tape.pick(float ? floats : integers), shape: tape.pick(shapes) };
  });
  const read = (p: (typeof params)[number], float: boolean): string => {
    const text = `${p.name}${element[p.shape]}`;
    return float ? `f32(${text})` : `i32(${text})`;
  };
  /** A sum of some parameters, as floats or as integers; of those of a row alone. */
  const some = (float: boolean, row: boolean): string => {
    const list = params.filter((p) => (float || !p.float) && !(row && p.shape !== "[M]"));
    const terms = list
      .filter(() => tape.chance(50))
      .map((p) => (tape.chance(25) ? `(${read(p, float)} * ${float ? "0.5" : "3"})` : read(p, float)));
    return terms.length > 0 ? terms.join(" + ") : float ? "1.0" : "1";
  };
  // All parameters are read, so that all are bound.
  const all = params.map((p) => read(p, true)).join(" + ");
  const stored = tape.chance(40);
  // Elements of one shape are written in one launch.
  const beside = tape.chance(40);
  const count = (beside ? 6 : 1) + tape.draw(8);
  const written = (elem: string, shape: string, terms: string): string => {
    const value = shape === "[M]" ? `sum(j) (${terms})` : terms;
    if (elem === "i32") return value;
    const sum = stored ? `${value} + a[i]` : value;
    return elem === "f32" ? sum : `${elem}(${sum})`;
  };
  const made = Array.from({ length: count }, (_, k) => {
    const elem = k === 0 ? "f32" : tape.pick(outputs);
    const shape = beside ? "[M, N]" : tape.pick(["[M]", "[M, N]"]);
    const value = written(elem, shape, k === 0 ? all : some(elem !== "i32", false));
    return { text: `  y${k}${element[shape]} = ${value}`, param: `y${k}: ${elem}${shape}` };
  });
  const updated = Array.from({ length: tape.chance(30) ? 1 + tape.draw(4) : 0 }, (_, k) => {
    const shape = beside ? "[M, N]" : tape.pick(["[M]", "[M, N]"]);
    return { text: `  z${k}${element[shape]} += ${some(true, shape === "[M]")}`, param: `inout z${k}: f32${shape}` };
  });
  const definition = stored ? `  let a[i] = sum(j) (${some(true, false)})\n` : "";
  const list = [...params.map((p) => `${p.name}: ${p.elem}${p.shape}`), ...updated.map((u) => u.param)].join(", ");
  const schedule = stored ? "schedule f on wgsl { materialize a }\n" : "";
  return `kernel f[M, N](${list}) -> (${made.map((m) => m.param).join(", ")}) {\n${definition}${[...made, ...updated].map((m) => m.text).join("\n")}\n}\n${schedule}`;
}
